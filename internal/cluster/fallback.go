package cluster

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/units"
)

// Fallback finds replicas of mirrors whose origins cannot be reached: on the peers and, on a
// master, on its slaves. The package comment says how it chooses among them. Its requests carry
// protocol.PeerHeader, so that the receiver asks no other server: servers that have all lost an
// origin answer each other at once.
type Fallback struct{ client *Client }

// NewFallback returns a fallback to the servers of a client.
func NewFallback(client *Client) *Fallback { return &Fallback{client} }

// replica is a mirror on another server, as that server describes it.
type replica struct {
	mirror.Source
	address protocol.Address
	has     bool // the server has the mirror; else it may be able to pull it
}

// search is one search for replicas.
type search struct {
	*Client
	set      *settings
	query    mirror.Query
	replicas []replica // usable ones, the one that was pulled last first
	failed   []failure // why other servers have none
}

// failure is why a server has no usable replica.
type failure struct {
	server protocol.Address
	err    error
}

// Sources returns replicas: see mirror.Fallback.
func (f *Fallback) Sources(ctx context.Context, q mirror.Query) iter.Seq2[mirror.Source, error] {
	set := f.client.current.Load()
	servers := set.servers()
	if len(servers) == 0 {
		return nil
	}
	return func(yield func(mirror.Source, error) bool) {
		s := &search{Client: f.client, set: set, query: q}
		s.ask(ctx, servers)
		var reached *replica
		if !q.OriginDown {
			reached = s.firstToReach(ctx)
		}
		for _, f := range s.failed {
			if !yield(mirror.Source{Peer: f.server.String()}, f.err) {
				return
			}
		}
		if reached != nil && !yield(s.source(*reached), nil) {
			return
		}
		have := q.Have
		have.Damaged = q.Damaged()
		for _, r := range newer(s.replicas, have) {
			if reached != nil && r.address.Same(reached.address) {
				continue // it was yielded above
			}
			if !yield(s.source(r), nil) {
				return
			}
		}
	}
}

// newer returns the replicas that improve on what is here, in their order.
func newer(replicas []replica, have mirror.Have) (better []replica) {
	for _, r := range replicas {
		if r.has && r.Improves(have) {
			better = append(better, r)
		}
	}
	return better
}

// source returns a replica as a source for a pull.
func (s *search) source(r replica) mirror.Source {
	r.Peer = r.address.String()
	r.Remote = git.Remote{
		URL:     r.address.URL() + "/" + s.query.Name.String(),
		Headers: []string{protocol.PeerHeader + ": " + s.self},
		Direct:  true,
		CAFile:  s.set.CAFile,
	}
	if token := s.set.Access.TokenFor(access.Read); token != "" {
		r.Remote.Headers = append(r.Remote.Headers, "Authorization: Bearer "+string(token))
	}
	r.Renew = func(ctx context.Context) (mirror.Source, error) {
		err := s.askReplicaToPull(ctx, &r)
		return s.source(r), err
	}
	return r.Source
}

// blame records why a server has no usable replica. A slave is left out: the master has sent it
// the same request, and it reports its own reasons. So is this very server, which may be among its
// own peers.
func (s *search) blame(server protocol.Address, err error) {
	if !slices.ContainsFunc(s.set.Slaves, server.Same) && !errors.Is(err, errItself) {
		s.failed = append(s.failed, failure{server, err})
	}
}

// headStart is how long a server has to answer before the next one is asked as well.
const headStart = 2 * time.Second

// errLate is the error for a server that is not waited for any longer.
var errLate = errors.New("no answer yet, when another peer had answered")

// ask asks all servers at once what they have of the mirror, and puts the one that pulled last
// first. Servers that have another mirror of this name, or do not answer, are left out; failed
// says why. Once a server has answered, the others have headStart left. A late server comes last,
// since it may still be able to pull.
func (s *search) ask(ctx context.Context, servers []protocol.Address) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.set.Timeout, fmt.Errorf("no answer within %s", units.FormatDuration(s.set.Timeout)))
	defer cancel()
	ctx, hurry := context.WithCancelCause(ctx)
	defer hurry(nil)
	all, errs := make([]replica, len(servers)), make([]error, len(servers))
	var asked sync.WaitGroup
	var first sync.Once
	for i, server := range servers {
		asked.Go(func() {
			if all[i], errs[i] = s.replica(ctx, server); errs[i] == nil {
				first.Do(func() {
					timer := time.AfterFunc(headStart, func() { hurry(errLate) })
					context.AfterFunc(ctx, func() { timer.Stop() })
				})
			}
		})
	}
	asked.Wait()
	for i, err := range errs {
		switch {
		case err == nil:
			s.replicas = append(s.replicas, all[i])
		case errors.Is(err, errLate) && !s.query.OriginDown:
			s.replicas = append(s.replicas, replica{address: servers[i]})
		default:
			s.blame(servers[i], err)
		}
	}
	if s.query.Holders {
		s.replicas = slices.DeleteFunc(s.replicas, func(r replica) bool { return !r.has })
	}
	slices.SortStableFunc(s.replicas, func(a, b replica) int { return b.Pulled.Compare(a.Pulled) })
}

// replica asks a server for its replica of the mirror.
func (s *search) replica(ctx context.Context, server protocol.Address) (replica, error) {
	r := replica{address: server}
	doc, err := s.peer(server, false).mirror(ctx, protocol.NewTrace(s.self), s.query.Name)
	if errors.Is(err, mirror.ErrUnknown) {
		return r, nil // it may be able to pull it
	}
	if err != nil {
		return r, err
	}
	if doc.ID == s.self {
		return r, errSameID
	}
	if !refs.CoverAll(doc.Patterns, s.query.Refs) {
		return r, fmt.Errorf("its mirrors contain other refs (%s) than those of this server", strings.Join(doc.Patterns, ", "))
	}
	i := slices.IndexFunc(doc.Mirrors, func(m protocol.Mirror) bool { return m.Name == s.query.Name.String() })
	if i < 0 {
		return r, nil
	}
	theirs := doc.Mirrors[i]
	from, err := origin.Parse(theirs.Origin, true)
	if err != nil {
		return r, nil // the origin of its mirror is unknown; it may be able to pull ours
	}
	if !from.Same(s.query.Origin) && !from.Same(s.query.Move) {
		return r, fmt.Errorf("its mirror has the origin %s", from)
	}
	r.has = theirs.Fingerprint != "" && from.Same(s.query.Origin)
	r.Pulled = theirs.PulledAt()
	if now := time.Now(); r.Pulled.After(now) { // a fast clock must not make it the latest for long
		r.Pulled = now
	}
	r.Revision, r.Fingerprint = theirs.Revision, refs.Fingerprint(theirs.Fingerprint)
	return r, nil
}

// firstToReach asks servers to pull from the origin, in their order, and returns the first one that
// succeeds, or nil. If one takes longer than headStart, the next one is asked as well.
func (s *search) firstToReach(ctx context.Context) *replica {
	ctx, cancel := context.WithCancel(ctx)
	var asked sync.WaitGroup
	defer asked.Wait()
	defer cancel()
	type result struct {
		replica
		err error
	}
	results := make(chan result, len(s.replicas))
	next, waiting := 0, 0
	askNext := time.NewTimer(0)
	defer askNext.Stop()
	for next < len(s.replicas) || waiting > 0 {
		select {
		case <-askNext.C:
			if next == len(s.replicas) {
				continue
			}
			r := s.replicas[next]
			next, waiting = next+1, waiting+1
			asked.Go(func() {
				err := s.askReplicaToPull(ctx, &r)
				results <- result{r, err}
			})
			askNext.Reset(headStart)
		case r := <-results:
			if r.err == nil {
				return &r.replica
			}
			s.blame(r.address, r.err)
			waiting--
			askNext.Reset(0)
		}
	}
	return nil
}

// askReplicaToPull asks a server to pull from the origin, and records the result in r. A server
// that is still at work after the wait is asked again.
func (s *search) askReplicaToPull(ctx context.Context, r *replica) error {
	req := mirror.Request{Name: s.query.Name, Origin: s.query.Origin, Move: s.query.Move, Accept: s.query.Accept}
	r.Asked = time.Now()
	for {
		began := time.Now()
		answer, err := s.set.askToPull(ctx, r.address, pullForm(s.set, req), func(h http.Header) { h.Set(protocol.PeerHeader, s.self) }, nil)
		waited := time.Since(began) >= s.set.Timeout/2 // as it was asked to: a server that answers at once is not asked in a loop
		if errors.Is(err, protocol.ErrAtWork) && waited && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return err
		}
		if answer.State != protocol.Success {
			return errors.New(answer.Error)
		}
		if !r.has { // the refs that its mirrors contain were not checked yet
			if _, err := s.replica(ctx, r.address); err != nil {
				return err
			}
		}
		r.ReachedOrigin, r.has, r.Revision, r.Fingerprint = true, true, answer.Revision, ""
		return nil
	}
}
