package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/units"
)

// Observer tells people what the other servers have. It shows what is known at once, and asks in the
// background as long as somebody looks: a server that is down makes nobody wait.
type Observer struct {
	client *Client
	life   context.Context
	asking sync.WaitGroup

	mu   sync.Mutex           // guards busy
	busy map[string]time.Time // when a server was last asked for somebody who looks, by its URL
}

// NewObserver returns an observer of the servers that the client's options name. It asks none after
// life has ended.
func NewObserver(life context.Context, client *Client) *Observer {
	return &Observer{client: client, life: life, busy: make(map[string]time.Time)}
}

// Wait returns when nothing is asked any more.
func (o *Observer) Wait() { o.asking.Wait() }

// Sight is what is known of another server. It must not be changed.
type Sight struct {
	Address   protocol.Address
	Slave     bool             // otherwise it is a peer
	Doc       *protocol.Status // what it has told last; nil for nothing
	Asked     time.Time        // when it was asked for that
	Fault     string           // why it did not answer the last time; empty if it did
	Failing   time.Time        // since when it does not answer; zero if it does
	OtherRefs bool             // its mirrors have other refs, so that only default branches can be compared
	mirrors   map[string]*protocol.Mirror
}

const (
	freshSight = 5 * time.Second        // for which a status is not asked for again
	firstSight = 200 * time.Millisecond // that who looks first waits for servers that have told nothing yet
)

// News returns a number that changes with what is known of other servers, and a channel that is
// closed when it changes again.
func (o *Observer) News() (version uint64, changed <-chan struct{}) {
	version = o.client.news.Count()
	return version, o.client.news.After(version)
}

// Look returns what is known of all other servers, the slaves first.
func (o *Observer) Look(ctx context.Context) []Sight {
	set := o.client.current.Load()
	asked := make(chan struct{}, len(set.servers()))
	waits := 0
	for _, address := range set.servers() {
		p := o.client.peer(address, false)
		if o.ask(set, p, asked) && p.unseen() {
			waits++
		}
	}
	patience := time.NewTimer(firstSight)
	defer patience.Stop()
	for ; waits > 0; waits-- {
		select {
		case <-asked:
		case <-patience.C:
			waits = 1
		case <-ctx.Done():
			waits = 1
		}
	}
	return o.sights(set)
}

// ask asks a server for its status in the background, unless that was done a moment ago.
func (o *Observer) ask(set *settings, p *peer, asked chan<- struct{}) (began bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := p.address.URL()
	if o.life.Err() != nil || time.Since(o.busy[key]) < freshSight || p.isFresh() {
		return false
	}
	o.busy[key] = time.Now().Add(set.Timeout) // until it has ended
	o.asking.Go(func() {
		ctx, cancel := context.WithTimeoutCause(o.life, set.Timeout, fmt.Errorf("no answer within %s", units.FormatDuration(set.Timeout)))
		defer cancel()
		_, _, _ = p.status(ctx, protocol.NewTrace(o.client.self)) // the peer records it
		o.mu.Lock()
		o.busy[key] = time.Now()
		o.mu.Unlock()
		asked <- struct{}{}
	})
	return true
}

// isFresh reports whether the server has told its status a moment ago.
func (p *peer) isFresh() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.asked) < freshSight
}

// unseen reports whether the server was never asked.
func (p *peer) unseen() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked.IsZero() && p.failing.IsZero()
}

func (o *Observer) sights(set *settings) (all []Sight) {
	for _, address := range set.servers() {
		if set.itself.has(address.URL()) {
			continue
		}
		s := o.client.peer(address, false).sight()
		s.Slave = slices.ContainsFunc(set.Slaves, func(slave protocol.Address) bool { return slave.URL() == address.URL() })
		s.OtherRefs = s.Doc != nil && !refs.SamePatterns(s.Doc.Patterns, set.Refs)
		if s.Doc != nil && s.Doc.ID == o.client.self {
			continue // this very server
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b Sight) int {
		switch {
		case a.Slave == b.Slave:
			return 0
		case a.Slave:
			return -1
		default:
			return 1
		}
	})
	return all
}

// sight returns what is known of the server.
func (p *peer) sight() Sight {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last != nil && p.indexed != p.version {
		p.index, p.indexed = indexMirrors(p.last), p.version
	}
	return Sight{Address: p.address, Doc: p.last, Asked: p.asked, Fault: p.fault, Failing: p.failing, mirrors: p.index}
}

// indexMirrors returns the mirrors in a status by their names.
func indexMirrors(doc *protocol.Status) map[string]*protocol.Mirror {
	all := make(map[string]*protocol.Mirror, len(doc.Mirrors))
	for i := range doc.Mirrors {
		all[doc.Mirrors[i].Name] = &doc.Mirrors[i]
	}
	return all
}

// Names returns the names of the mirrors that the server has, but for those that reads have made there.
func (s *Sight) Names(yield func(string) bool) {
	for name, m := range s.mirrors {
		if !m.OnDemand && !yield(name) {
			return
		}
	}
}

// AskAbout asks all other servers at once about one mirror, and waits until they have answered, or
// for as long as wait.
func (o *Observer) AskAbout(ctx context.Context, name storage.Name, wait time.Duration) []Sight {
	ctx, cancel := context.WithTimeoutCause(ctx, wait, fmt.Errorf("no answer within %s", units.FormatDuration(wait)))
	defer cancel()
	all := o.sights(o.client.current.Load())
	var asked sync.WaitGroup
	for i := range all {
		asked.Go(func() { o.askAbout(ctx, name, &all[i]) })
	}
	asked.Wait()
	return slices.DeleteFunc(all, func(s Sight) bool { return s.Doc != nil && s.Doc.ID == o.client.self })
}

func (o *Observer) askAbout(ctx context.Context, name storage.Name, s *Sight) {
	began := time.Now()
	doc, err := o.client.peer(s.Address, false).mirror(ctx, protocol.NewTrace(o.client.self), name)
	switch {
	case errors.Is(err, mirror.ErrUnknown):
		doc = &protocol.Status{}
	case err != nil:
		s.Doc, s.mirrors, s.Fault = nil, nil, errtext.Line(err.Error())
		return
	}
	if len(doc.Patterns) > 0 {
		s.OtherRefs = !refs.SamePatterns(doc.Patterns, o.client.current.Load().Refs)
	}
	s.Doc, s.mirrors, s.Asked, s.Fault, s.Failing = doc, indexMirrors(doc), began, "", time.Time{}
}
