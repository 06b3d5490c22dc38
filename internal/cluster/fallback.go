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
)

// Fallback finds replicas of mirrors whose origins cannot be reached: the peers and, on a
// master, its slaves.
//
// All of them are asked at once what they have. Then they are asked to pull from the origin,
// first who was the last to pull it: who can is a replica like the origin. A request that asks
// for that says so (protocol.PeerHeader), and goes no further: servers that have all lost an
// origin answer each other at once. If nobody can, what the latest has is better than nothing.
// Which of two servers has the later content, the times tell at which they asked the origin:
// the servers' clocks must agree better than pushes follow each other.
type Fallback struct{ client *Client }

// NewFallback returns the fallback of a client's servers.
func NewFallback(client *Client) *Fallback { return &Fallback{client} }

// replica is what a server has of a mirror, by its own words.
type replica struct {
	mirror.Source
	address protocol.Address
	has     bool
}

// search is one search for replicas.
type search struct {
	*Client
	set      *settings
	query    mirror.Query
	replicas []replica // that may be of help, who was the last to pull first
	failed   []error   // why others are not
}

// Sources returns replicas: see mirror.Fallback.
func (f *Fallback) Sources(ctx context.Context, q mirror.Query) iter.Seq2[mirror.Source, error] {
	set := f.client.current.Load()
	servers := set.all()
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
		for _, err := range s.failed {
			if !yield(mirror.Source{}, err) {
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
				continue // it was tried
			}
			if !yield(s.source(r), nil) {
				return
			}
		}
	}
}

// newer picks the replicas that have something worth having, best first.
func newer(replicas []replica, have mirror.Have) (better []replica) {
	for _, r := range replicas {
		if r.has && r.Improves(have) {
			better = append(better, r)
		}
	}
	return better
}

// source is a replica as a pull reads it.
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

// blame notes why a server is of no help. A master's slaves were sent the same request
// and answer for themselves.
func (s *search) blame(server protocol.Address, err error) {
	if !slices.ContainsFunc(s.set.Slaves, server.Same) {
		s.failed = append(s.failed, fmt.Errorf("peer %s: %w", server, err))
	}
}

// headStart is how long a server is waited for before the next one is asked as well.
const headStart = 2 * time.Second

// errLate is why a server is not waited for.
var errLate = errors.New("no answer yet, when another peer had answered")

// ask asks all servers at once what they have of the mirror, and puts first who was the
// last to pull it. Those that have another mirror under this name, or do not answer, are
// left out; failed says why. When one has answered, the others have a moment left: who
// is late then comes last, since it may be able to pull all the same.
func (s *search) ask(ctx context.Context, servers []protocol.Address) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.set.Timeout, fmt.Errorf("no answer within %s", s.set.Timeout))
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
	slices.SortStableFunc(s.replicas, func(a, b replica) int { return b.Pulled.Compare(a.Pulled) })
}

// replica asks a server what it has of the mirror.
func (s *search) replica(ctx context.Context, server protocol.Address) (replica, error) {
	r := replica{address: server}
	doc, err := s.Peer(server, false).Mirror(ctx, protocol.NewTrace(s.self), s.query.Name)
	if errors.Is(err, mirror.ErrUnknown) {
		return r, nil // it may be able to get it
	}
	if err != nil {
		return r, err
	}
	if doc.ID == s.self {
		return r, errItself
	}
	if !refs.CoverAll(doc.Patterns, s.query.Refs) {
		return r, fmt.Errorf("its mirrors contain other refs (%s) than those of this server", strings.Join(doc.Patterns, ", "))
	}
	i := slices.IndexFunc(doc.Mirrors, func(m protocol.Mirror) bool { return m.Name == s.query.Name.String() })
	if i < 0 {
		return r, nil
	}
	theirs := doc.Mirrors[i]
	its, err := origin.Parse(theirs.Origin, true)
	if err != nil {
		return r, nil // nobody knows what its mirror is of; it may be able to get ours
	}
	if !its.Same(s.query.Origin) && !its.Same(s.query.Move) {
		return r, fmt.Errorf("its mirror has the origin %s", its)
	}
	r.has = theirs.Fingerprint != "" && its.Same(s.query.Origin)
	r.Pulled = theirs.PulledAt()
	if now := time.Now(); r.Pulled.After(now) { // a clock that is fast must not make it the latest for long
		r.Pulled = now
	}
	r.Revision, r.Fingerprint = theirs.Revision, refs.Fingerprint(theirs.Fingerprint)
	return r, nil
}

// firstToReach asks servers to pull from the origin, in their order, and returns the first
// one that could. Who takes long is not waited for: the next one is asked as well.
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
	turn := time.NewTimer(0)
	defer turn.Stop()
	for next < len(s.replicas) || waiting > 0 {
		select {
		case <-turn.C:
			if next == len(s.replicas) {
				continue
			}
			r := s.replicas[next]
			next, waiting = next+1, waiting+1
			asked.Go(func() {
				err := s.askReplicaToPull(ctx, &r)
				results <- result{r, err}
			})
			turn.Reset(headStart)
		case r := <-results:
			if r.err == nil {
				return &r.replica
			}
			s.blame(r.address, r.err)
			waiting--
			turn.Reset(0)
		}
	}
	return nil
}

// askReplicaToPull has a server pull from the origin, and notes what it has then. One that is
// at work for long is asked again.
func (s *search) askReplicaToPull(ctx context.Context, r *replica) error {
	req := mirror.Request{Name: s.query.Name, Origin: s.query.Origin, Move: s.query.Move, Accept: s.query.Accept}
	r.Asked = time.Now()
	for {
		began := time.Now()
		answer, err := s.askToPull(ctx, s.set, r.address, req, func(h http.Header) { h.Set(protocol.PeerHeader, s.self) })
		waited := time.Since(began) >= s.set.Timeout/2 // as it was asked to: else this would be a storm
		if errors.Is(err, protocol.ErrAtWork) && waited && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return s.set.redact(err, pullForm(s.set, req).Secrets()...)
		}
		if answer.State != protocol.Success {
			return errors.New(strings.Join(strings.Fields(answer.Error), " "))
		}
		if !r.has { // and so has not told which refs it takes
			if _, err := s.replica(ctx, r.address); err != nil {
				return err
			}
		}
		r.ReachedOrigin, r.has, r.Revision, r.Fingerprint = true, true, answer.Revision, ""
		return nil
	}
}
