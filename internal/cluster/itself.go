package cluster

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/reconquest/sould/internal/protocol"
)

// errItself is the error for a server of the configuration that has turned out to be this one. All
// servers of a cluster may have one list of peers, and an address may lead here under any name, so
// only an answer tells: see protocol.InstanceHeader.
var errItself = errors.New("it is this very server")

// errSameID is the error for another server that has this server's id.
var errSameID = errors.New("it has the same id as this server, so its storage is a copy of this one's: " +
	"stop it, remove the file .sould/id from its storage, and start it again")

// itself remembers where this very server has answered.
type itself struct {
	mu   sync.Mutex           // guards seen
	seen map[string]time.Time // by URL; when it answered there last
}

// itselfTime is how long that is remembered: an address can move to another server.
const itselfTime = time.Minute

// add reports whether it is the first time that this server has answered at that URL.
func (s *itself) add(url string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.seen[url]
	s.seen[url] = time.Now()
	return !known
}

func (s *itself) has(url string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, known := s.seen[url]
	return known && time.Since(at) < itselfTime
}

// noteItself records that this server has answered its own request. A slave that is its own master
// is a mistake in the configuration; among the peers, a server may name itself.
func (s *settings) noteItself(r *http.Request) {
	url := r.URL.Scheme + "://" + r.URL.Host
	if !s.itself.add(url) {
		return
	}
	i := slices.IndexFunc(s.Slaves, func(a protocol.Address) bool { return a.URL() == url })
	if i >= 0 {
		s.client.log.Warn("a slave is this very server: it is left out; remove it from the key slaves", "slave", s.Slaves[i])
	}
}

// FindItself asks all servers of the configuration at once whether they are this very server.
func (c *Client) FindItself(ctx context.Context) {
	set := c.current.Load()
	var asked errgroup.Group
	asked.SetLimit(maxFinding)
	for _, address := range set.servers() {
		asked.Go(func() error {
			_ = set.isItself(ctx, address) // what is not there now is found when it is asked for something
			return nil
		})
	}
	_ = asked.Wait()
}

// maxFinding is how many servers are asked at once whether they are this one.
const maxFinding = 32

// isItself asks the server at an address whether it is this very server.
func (s *settings) isItself(ctx context.Context, address protocol.Address) bool {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address.URL()+"/x/health", nil)
	if err != nil {
		return false
	}
	answer, err := s.do(r)
	if err != nil {
		return errors.Is(err, errItself)
	}
	_, _ = io.CopyN(io.Discard, answer.Body, protocol.MaxAnswer) // so that the connection can be kept
	answer.Body.Close()
	return false
}

// Others returns the servers without those that have turned out to be this very server.
func (c *Client) Others(servers []protocol.Address) (others []protocol.Address) {
	set := c.current.Load()
	for _, server := range servers {
		if !set.itself.has(server.URL()) {
			others = append(others, server)
		}
	}
	return others
}
