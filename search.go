package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/refs"
)

// search is a pull's search for a peer that can stand in for the origin.
type search struct {
	*pullJob
	origin origin.URL
	offers []offer
	failed []error // why peers were of no help
}

// errNoHelp is why a pull looks further.
var errNoHelp = errors.New("no peer could help")

// fromPeers pulls from a peer, since the origin could not be reached. All of them are
// asked to pull: who succeeds has what the origin has. If nobody does, what the peer has
// that was the last to succeed is taken if it is newer, and the pull has failed all the
// same.
func (j *pullJob) fromPeers(ctx context.Context, reason error) (Pulled, error) {
	peers := j.set.peers()
	if len(peers) == 0 {
		return Pulled{}, reason
	}
	ctx, cancel := context.WithTimeoutCause(ctx, j.set.FetchTimeout, fmt.Errorf("no peer could help within %s", j.set.FetchTimeout))
	defer cancel()
	j.left = j.set.FetchTimeout
	j.progress.say("asking peers, since the origin cannot be reached")
	stored, now := j.stored()
	if j.lost = time.Now(); now != nil {
		j.had = now.Pulled
	}
	from, err := j.origin(stored)
	if err != nil {
		return Pulled{}, errors.Join(reason, err)
	}
	s := &search{pullJob: j, origin: from}
	s.ask(ctx, peers)
	if !j.req.Stale {
		if pulled, err := s.fromFresh(ctx); !errors.Is(err, errNoHelp) {
			return pulled, err
		}
	}
	if pulled, err := s.fromNewer(ctx, now); !errors.Is(err, errNoHelp) {
		return pulled, err
	}
	if len(s.failed) == 0 {
		return Pulled{}, reason
	}
	return Pulled{}, errtext.Several("neither the origin nor a peer could help", append([]error{reason}, s.failed...)...)
}

// fromFresh has peers pull from the origin, and pulls from the first one that could. The
// error is errNoHelp if there is none, or if it cannot be read in turn.
func (s *search) fromFresh(ctx context.Context) (Pulled, error) {
	fresh := s.firstFresh(ctx)
	if fresh == nil {
		return Pulled{}, errNoHelp
	}
	pulled, err := s.from(ctx, source{fresh})
	for again := 1; again < attempts && errors.Is(err, errAnnounced); again++ { // it was pushed to in between
		if askErr := s.askToPull(ctx, fresh); askErr != nil {
			break
		}
		pulled, err = s.from(ctx, source{fresh})
	}
	switch down := (*unreachable)(nil); {
	case errors.Is(err, errOvertaken):
		return pulled, nil
	case errors.As(err, &down), errors.Is(err, errAnnounced):
		s.failed = append(s.failed, fmt.Errorf("peer %s: %w", fresh.address, err))
		return Pulled{}, errNoHelp
	}
	return pulled, err
}

// fromNewer pulls what the peer has that was the last to reach the origin, if it is newer
// than what is here. That is no success: the error is errNoHelp, unless it is known that
// there is nothing better.
func (s *search) fromNewer(ctx context.Context, now *Snapshot) (Pulled, error) {
	for _, o := range newer(s.offers, now, s.damaged()) {
		pulled, err := s.from(ctx, source{&o})
		switch {
		case errors.Is(err, errOvertaken):
			return pulled, nil
		case err != nil:
			s.failed = append(s.failed, fmt.Errorf("peer %s: %w", o.address, err))
			continue
		case s.req.Stale:
			return pulled, nil
		}
		s.failed = append(s.failed, fmt.Errorf("what the peer %s had of %s is here now", o.address, httpDate(o.pulled)))
		break
	}
	return Pulled{}, errNoHelp
}

// errOvertaken is why nothing is taken from a peer: the mirror has what the origin has.
var errOvertaken = errors.New("the origin was reached meanwhile")

// overtaken reports whether the mirror was pulled from the origin since peers began to be
// asked: another server may have had it pulled, which does not wait for this pull. What a
// peer has may be older then.
func (j *pullJob) overtaken(now *Snapshot) bool {
	return now.From == "" && !now.Pulled.Equal(j.had) && now.Pulled.After(j.lost)
}

// stored is what is known of the mirror now. The snapshot is nil if there is none, or if
// it cannot be read.
func (j *pullJob) stored() (origin.URL, *Snapshot) {
	m, err := j.ms.Get(j.set, j.req.Name)
	if err != nil {
		return origin.URL{}, nil
	}
	return m.Snapshot().Origin, m.Snapshot()
}

// damaged reports whether the mirror is known to be damaged.
func (j *pullJob) damaged() bool {
	m, err := j.ms.Get(j.set, j.req.Name)
	return err == nil && m.knownDamage() != nil
}

// blame notes why a peer was of no help. A master's slaves were sent the same request
// and answer for themselves.
func (s *search) blame(peer Address, err error) {
	if !s.set.Master || !slices.ContainsFunc(s.set.Slaves, peer.Same) {
		s.failed = append(s.failed, fmt.Errorf("peer %s: %w", peer, err))
	}
}

// ask asks all peers at once what they have of the mirror, and puts first who was the
// last to pull it. Those that have another mirror under this name, or do not answer, are
// left out; failed says why. When one has answered, the others have a moment left: who
// is late then comes last, since it may be able to pull all the same.
func (s *search) ask(ctx context.Context, peers []Address) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.set.Timeout, fmt.Errorf("no answer within %s", s.set.Timeout))
	defer cancel()
	ctx, hurry := context.WithCancelCause(ctx)
	defer hurry(nil)
	all, errs := make([]offer, len(peers)), make([]error, len(peers))
	var asked sync.WaitGroup
	var first sync.Once
	for i, address := range peers {
		asked.Go(func() {
			if all[i], errs[i] = s.offer(ctx, address); errs[i] == nil {
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
			s.offers = append(s.offers, all[i])
		case errors.Is(err, errLate) && !s.req.Stale:
			s.offers = append(s.offers, offer{address: peers[i]})
		default:
			s.blame(peers[i], err)
		}
	}
	slices.SortStableFunc(s.offers, func(a, b offer) int { return b.pulled.Compare(a.pulled) })
}

// errLate is why a peer is not waited for.
var errLate = errors.New("no answer yet, when another peer had answered")

// offer asks one peer what it has of the mirror.
func (s *search) offer(ctx context.Context, address Address) (offer, error) {
	o := offer{address: address}
	doc, err := s.ms.siblings.at(address, false).Mirror(ctx, []string{s.ms.storage.ID}, s.req.Name)
	if errors.Is(err, errUnknownMirror) {
		return o, nil // it may be able to get it
	}
	if err != nil {
		return o, err
	}
	if doc.ID == s.ms.storage.ID {
		return o, errItself
	}
	if !refs.CoverAll(doc.Patterns, s.set.Refs) {
		return o, fmt.Errorf("its mirrors contain other refs (%s) than those of this server", strings.Join(doc.Patterns, ", "))
	}
	i := slices.IndexFunc(doc.Mirrors, func(m mirrorStatus) bool { return m.Name == s.req.Name.String() })
	if i < 0 {
		return o, nil
	}
	theirs := doc.Mirrors[i]
	its, err := origin.Parse(theirs.Origin, true)
	if err != nil {
		return o, nil // nobody knows what its mirror is of; it may be able to get ours
	}
	if !its.Same(s.origin) && !its.Same(s.req.Move) {
		return o, fmt.Errorf("its mirror has the origin %s", its)
	}
	o.has = theirs.Fingerprint != "" && its.Same(s.origin)
	o.pulled = theirs.pulled()
	if now := time.Now(); o.pulled.After(now) { // a clock that is fast must not make it the latest for long
		o.pulled = now
	}
	o.revision, o.fingerprint = theirs.Revision, refs.Fingerprint(theirs.Fingerprint)
	return o, nil
}

// errItself is why a server that the configuration names is not asked.
var errItself = errors.New("it is this very server")

// headStart is how long a peer is waited for before the next one is asked as well.
const headStart = 2 * time.Second

// firstFresh asks peers to pull from the origin, in their order, and returns the first
// one that could. Who takes long is not waited for: the next one is asked as well.
func (s *search) firstFresh(ctx context.Context) *offer {
	ctx, cancel := context.WithCancel(ctx)
	var asked sync.WaitGroup
	defer asked.Wait()
	defer cancel()
	type result struct {
		offer
		err error
	}
	results := make(chan result, len(s.offers))
	next, waiting := 0, 0
	turn := time.NewTimer(0)
	defer turn.Stop()
	for next < len(s.offers) || waiting > 0 {
		select {
		case <-turn.C:
			if next == len(s.offers) {
				continue
			}
			o := s.offers[next]
			next, waiting = next+1, waiting+1
			asked.Go(func() {
				err := s.askToPull(ctx, &o)
				results <- result{o, err}
			})
			turn.Reset(headStart)
		case r := <-results:
			if r.err == nil {
				return &r.offer
			}
			s.blame(r.address, r.err)
			waiting--
			turn.Reset(0)
		}
	}
	return nil
}

// askToPull has a peer pull from the origin, and notes what it has then. One that is at
// work for long is asked again.
func (s *search) askToPull(ctx context.Context, o *offer) error {
	req := pullRequest{Name: s.req.Name, Origin: s.origin, Move: s.req.Move, Accept: s.req.Accept}
	o.asked = time.Now()
	for {
		began := time.Now()
		answer, err := askSlave(ctx, s.set, o.address, req, s.set.Timeout, header{peerHeader, s.ms.storage.ID})
		waited := time.Since(began) >= s.set.Timeout/2 // as it was asked to: else this would be a storm
		if errors.Is(err, errStillAtWork) && waited && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return errtext.RedactError(err, req.secrets(s.set))
		}
		if answer.State != stateSuccess {
			return errors.New(strings.Join(strings.Fields(answer.Error), " "))
		}
		if !o.has { // and so has not told which refs it takes
			if _, err := s.offer(ctx, o.address); err != nil {
				return err
			}
		}
		o.fresh, o.has, o.revision, o.fingerprint = true, true, answer.Revision, ""
		return nil
	}
}
