package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// offer is what a peer has of a mirror, by its own words.
type offer struct {
	address     Address
	has         bool
	pulled      time.Time // when it was last pulled successfully; zero for never
	revision    string
	fingerprint Fingerprint
	fresh       bool      // it has reached the origin, since it was asked
	asked       time.Time // when it was asked to pull
}

// headStart is how long a peer is waited for before the next one is asked as well.
const headStart = 2 * time.Second

// peers are the servers that may be asked instead of an origin: those that the
// configuration names, and never one that a request names.
func (s *settings) peers() []Address {
	peers := slices.Clone(s.Peers)
	if s.Master {
		for _, slave := range s.Slaves {
			if !slices.ContainsFunc(peers, slave.same) {
				peers = append(peers, slave)
			}
		}
	}
	return peers
}

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
	origin, err := j.origin(stored)
	if err != nil {
		return Pulled{}, errors.Join(reason, err)
	}
	offers, failed := j.offers(ctx, peers, origin)
	if !j.req.Stale {
		fresh, refused := j.firstFresh(ctx, offers, origin)
		failed = append(failed, refused...)
		if fresh != nil {
			pulled, err := j.from(ctx, source{fresh})
			for again := 1; again < attempts && errors.Is(err, errAnnounced); again++ { // it was pushed to in between
				if askErr := j.askToPull(ctx, fresh, origin); askErr != nil {
					break
				}
				pulled, err = j.from(ctx, source{fresh})
			}
			if errors.Is(err, errOvertaken) {
				return pulled, nil
			}
			if down := (*unreachable)(nil); err == nil || !errors.As(err, &down) && !errors.Is(err, errAnnounced) {
				return pulled, err
			}
			failed = append(failed, fmt.Errorf("peer %s: %w", fresh.address, err))
		}
	}
	for _, o := range newer(offers, now, j.damaged()) {
		pulled, err := j.from(ctx, source{&o})
		switch {
		case errors.Is(err, errOvertaken):
			return pulled, nil
		case err != nil:
			failed = append(failed, fmt.Errorf("peer %s: %w", o.address, err))
			continue
		case j.req.Stale:
			return pulled, nil
		}
		failed = append(failed, fmt.Errorf("what the peer %s had of %s is here now", o.address, httpDate(o.pulled)))
		break
	}
	if len(failed) == 0 {
		return Pulled{}, reason
	}
	return Pulled{}, &several{"neither the origin nor a peer could help", append([]error{reason}, failed...)}
}

// blame tells why a peer was of no help. A master's slaves were sent the same request
// and answer for themselves.
func (j *pullJob) blame(peer Address, err error) []error {
	if j.set.Master && slices.ContainsFunc(j.set.Slaves, peer.same) {
		return nil
	}
	return []error{fmt.Errorf("peer %s: %w", peer, err)}
}

// httpDate is a time in the words of X-Date.
func httpDate(t time.Time) string {
	if t.IsZero() {
		return "an unknown date"
	}
	return t.UTC().Format(http.TimeFormat)
}

// stored is what is known of the mirror now. The snapshot is nil if there is none, or if
// it cannot be read.
func (j *pullJob) stored() (Origin, *Snapshot) {
	m, err := j.ms.Get(j.set, j.req.Name)
	if err != nil {
		return Origin{}, nil
	}
	return m.Snapshot().Origin, m.Snapshot()
}

// damaged reports whether the mirror is known to be damaged.
func (j *pullJob) damaged() bool {
	m, err := j.ms.Get(j.set, j.req.Name)
	return err == nil && m.knownDamage() != nil
}

// newer picks the offers that are worth having, best first: what was pulled later than
// what is here. If what is here is damaged, the same will do.
func newer(offers []offer, now *Snapshot, damaged bool) []offer {
	var better []offer
	for _, o := range offers {
		if o.better(now, damaged) {
			better = append(better, o)
		}
	}
	return better
}

// better reports whether an offer is worth having.
func (o *offer) better(now *Snapshot, damaged bool) bool {
	switch {
	case !o.has:
		return false
	case now == nil, o.pulled.After(now.Pulled),
		o.pulled.Equal(now.Pulled) && o.fingerprint > now.Fingerprint: // so that all take the same
		return true
	default:
		return damaged && (o.fingerprint == now.Fingerprint || o.pulled.Equal(now.Pulled))
	}
}

// errOvertaken is why nothing is taken from a peer: the mirror has what the origin has.
var errOvertaken = errors.New("the origin was reached meanwhile")

// overtaken reports whether the mirror was pulled from the origin since peers began to be
// asked: another server may have had it pulled, which does not wait for this pull. What a
// peer has may be older then.
func (j *pullJob) overtaken(now *Snapshot) bool {
	return now.From == "" && !now.Pulled.Equal(j.had) && now.Pulled.After(j.lost)
}

// offers asks all peers at once what they have of the mirror, and puts first who was the
// last to pull it. Those that have another mirror under this name, or do not answer, are
// left out; the errors say so. When one has answered, the others have a moment left: who
// is late then comes last, since it may be able to pull all the same.
func (j *pullJob) offers(ctx context.Context, peers []Address, origin Origin) (offers []offer, failed []error) {
	ctx, cancel := context.WithTimeoutCause(ctx, j.set.Timeout, fmt.Errorf("no answer within %s", j.set.Timeout))
	defer cancel()
	ctx, hurry := context.WithCancelCause(ctx)
	defer hurry(nil)
	all, errs := make([]offer, len(peers)), make([]error, len(peers))
	var asked sync.WaitGroup
	var first sync.Once
	for i, address := range peers {
		asked.Go(func() {
			if all[i], errs[i] = j.offer(ctx, address, origin); errs[i] == nil {
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
			offers = append(offers, all[i])
		case errors.Is(err, errLate) && !j.req.Stale:
			offers = append(offers, offer{address: peers[i]})
		default:
			failed = append(failed, j.blame(peers[i], err)...)
		}
	}
	slices.SortStableFunc(offers, func(a, b offer) int { return b.pulled.Compare(a.pulled) })
	return offers, failed
}

// errLate is why a peer is not waited for.
var errLate = errors.New("no answer yet, when another peer had answered")

// offer asks one peer what it has of the mirror.
func (j *pullJob) offer(ctx context.Context, address Address, origin Origin) (offer, error) {
	o := offer{address: address}
	doc, err := j.ms.siblings.at(address, false).Mirror(ctx, []string{j.ms.storage.ID}, j.req.Name)
	if errors.Is(err, errUnknownMirror) {
		return o, nil // it may be able to get it
	}
	if err != nil {
		return o, err
	}
	if doc.ID == j.ms.storage.ID {
		return o, errItself
	}
	if !coverAll(doc.Patterns, j.set.Refs) {
		return o, fmt.Errorf("its mirrors contain other refs (%s) than those of this server", strings.Join(doc.Patterns, ", "))
	}
	i := slices.IndexFunc(doc.Mirrors, func(m mirrorStatus) bool { return m.Name == j.req.Name.String() })
	if i < 0 {
		return o, nil
	}
	theirs := doc.Mirrors[i]
	its, err := ParseOrigin(theirs.Origin, true)
	if err != nil {
		return o, nil // nobody knows what its mirror is of; it may be able to get ours
	}
	if !its.Same(origin) && !its.Same(j.req.Move) {
		return o, fmt.Errorf("its mirror has the origin %s", its)
	}
	o.has = theirs.Fingerprint != "" && its.Same(origin)
	o.pulled = theirs.pulled()
	if now := time.Now(); o.pulled.After(now) { // a clock that is fast must not make it the latest for long
		o.pulled = now
	}
	o.revision, o.fingerprint = theirs.Revision, Fingerprint(theirs.Fingerprint)
	return o, nil
}

// errItself is why a server that the configuration names is not asked.
var errItself = errors.New("it is this very server")

// firstFresh asks peers to pull from the origin, in their order, and returns the first
// one that could. Who takes long is not waited for: the next one is asked as well.
func (j *pullJob) firstFresh(ctx context.Context, offers []offer, origin Origin) (fresh *offer, failed []error) {
	ctx, cancel := context.WithCancel(ctx)
	var asked sync.WaitGroup
	defer asked.Wait()
	defer cancel()
	type result struct {
		offer
		err error
	}
	results := make(chan result, len(offers))
	next, waiting := 0, 0
	turn := time.NewTimer(0)
	defer turn.Stop()
	for next < len(offers) || waiting > 0 {
		select {
		case <-turn.C:
			if next == len(offers) {
				continue
			}
			o := offers[next]
			next, waiting = next+1, waiting+1
			asked.Go(func() {
				err := j.askToPull(ctx, &o, origin)
				results <- result{o, err}
			})
			turn.Reset(headStart)
		case r := <-results:
			if r.err == nil {
				return &r.offer, failed
			}
			failed = append(failed, j.blame(r.address, r.err)...)
			waiting--
			turn.Reset(0)
		}
	}
	return nil, failed
}

// askToPull has a peer pull from the origin, and notes what it has then. One that is at
// work for long is asked again.
func (j *pullJob) askToPull(ctx context.Context, o *offer, origin Origin) error {
	req := pullRequest{Name: j.req.Name, Origin: origin, Move: j.req.Move, Accept: j.req.Accept}
	o.asked = time.Now()
	for {
		began := time.Now()
		answer, err := askSlave(ctx, j.set, o.address, req, header{peerHeader, j.ms.storage.ID}, j.set.Timeout)
		waited := time.Since(began) >= j.set.Timeout/2 // as it was asked to: else this would be a storm
		if errors.Is(err, errStillAtWork) && waited && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return hidden(err, req.secrets(j.set))
		}
		if answer.State != stateSuccess {
			return errors.New(strings.Join(strings.Fields(answer.Error), " "))
		}
		if !o.has { // and so has not told which refs it takes
			if _, err := j.offer(ctx, o.address, origin); err != nil {
				return err
			}
		}
		o.fresh, o.has, o.revision, o.fingerprint = true, true, answer.Revision, ""
		return nil
	}
}
