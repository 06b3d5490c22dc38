package mirror

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/units"
)

// fromReplicas pulls from a replica because the origin could not be reached. The best replica is
// one that has reached the origin. Else it is the one with the latest pull, if that is later than
// the mirror's; then the pull has failed all the same. reason is the origin's error.
func (j *pullJob) fromReplicas(ctx context.Context, reason error) (Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, j.opts.FetchTimeout, fmt.Errorf("no peer could help within %s", units.FormatDuration(j.opts.FetchTimeout)))
	defer cancel()
	j.remaining, j.fallbackBegan = j.opts.FetchTimeout, time.Now()
	have, stored := j.have(j.req.Name)
	if _, err := j.Get(j.req.Name); err != nil && !errors.Is(err, ErrUnknown) { // it cannot be read
		state := rememberedState(ctx, j.opts.Git.Repo(j.dir.MirrorDir(j.req.Name)))
		stored = state.origin()
	}
	j.pulledBefore = have.Pulled
	from, err := j.chooseOrigin(stored)
	if err != nil {
		return Result{}, errors.Join(reason, err)
	}
	sources := j.fallback.Sources(ctx, Query{
		Name: j.req.Name, Origin: from, Move: j.req.Move, Accept: j.req.Accept, OriginDown: j.req.OriginDown,
		Holders: j.isOnDemand(),
		Refs:    j.opts.Refs,
		Have:    have, Damaged: func() bool { now, _ := j.have(j.req.Name); return now.Damaged },
	})
	if sources == nil {
		return Result{}, reason
	}
	j.progress.say("asking peers, since the origin cannot be reached")
	var failed []peerFailure
	for src, err := range sources {
		if err != nil {
			failed = append(failed, peerFailure{src.Peer, err})
			continue
		}
		result, err := j.fromReplica(ctx, src)
		switch {
		case errors.Is(err, errOvertaken):
			return result, nil
		case err != nil && git.IsLocalFault(err) && !errors.As(err, new(*unreachable)):
			return Result{}, explain(reason, failed, fmt.Errorf("what peer %s has cannot be stored: %w", src.Peer, err))
		case err != nil && !isNoHelp(src, err):
			return result, err
		case err != nil:
			failed = append(failed, peerFailure{src.Peer, err})
			continue
		case src.ReachedOrigin, j.req.OriginDown:
			return result, nil
		}
		return Result{}, explain(reason, failed, fmt.Errorf("what peer %s had pulled on %s is here now", src.Peer, date(src.Pulled)))
	}
	return Result{}, explain(reason, failed, nil)
}

// isOnDemand reports whether the mirror is, or will be, one that reads make: that other servers do not
// have it is their own business.
func (j *pullJob) isOnDemand() bool {
	m, err := j.Get(j.req.Name)
	return err == nil && m.Snapshot().OnDemand || err != nil && j.req.OnDemand
}

// holderTime is how long other servers have to say that they have a mirror which is to be made.
const holderTime = 2 * time.Second

// fromHolders makes a mirror that is not here of what another server has, if one has it. It is as old
// as it is there: the origin has to be looked at afterwards. Without help the origin has all the work.
func (j *pullJob) fromHolders(ctx context.Context) {
	if _, err := j.Get(j.req.Name); !errors.Is(err, ErrUnknown) || j.opts.Origins.Check(j.req.Origin) != nil {
		return
	}
	asking, cancel := context.WithTimeout(ctx, holderTime)
	defer cancel()
	j.fallbackBegan = time.Now()
	sources := j.fallback.Sources(asking, Query{
		Name: j.req.Name, Origin: j.req.Origin, OriginDown: true, Holders: true, Refs: j.opts.Refs, Have: Have{None: true}, Damaged: func() bool { return false },
	})
	if sources == nil {
		return
	}
	j.progress.say("asking peers for the mirror")
	for src, err := range sources {
		if err == nil {
			_, err = j.pullFrom(ctx, src)
		}
		if err == nil || git.IsLocalFault(err) || isInconclusive(err) {
			break // the origin has the rest, or the same fault
		}
		j.log.Debug("a peer is of no help for a new mirror", "mirror", j.req.Name, "peer", src.Peer, "err", err)
	}
	j.remaining, j.transferred = j.opts.FetchTimeout, false
}

// peerFailure is why a peer was of no help.
type peerFailure struct {
	peer string
	err  error
}

// explain joins the reason why the origin could not be reached, why the peers were of no help, and
// what became of it in the end, if there is anything to say of that. A reason is given once, however
// many peers have it.
func explain(reason error, failed []peerFailure, outcome error) error {
	var either []string // peers that say of the origin what this server says
	var peers [][]string
	all := []error{reason}
	for _, f := range failed {
		if errtext.SameReason(f.err.Error(), reason.Error()) {
			either = append(either, f.peer)
			continue
		}
		i := slices.IndexFunc(all[1:], func(known error) bool { return errtext.SameReason(known.Error(), f.err.Error()) })
		if i < 0 {
			i = len(peers)
			all, peers = append(all, f.err), append(peers, nil)
		}
		peers[i] = append(peers[i], f.peer)
	}
	for i, names := range peers {
		what := "peer "
		if len(names) > 1 {
			what = "peers "
		}
		all[i+1] = fmt.Errorf("%s: %w", what+strings.Join(names, ", "), all[i+1])
	}
	switch {
	case len(either) == 0:
	case len(either) == len(failed):
		all = append(all, errors.New("no peer can reach the origin either"))
	default:
		all = append(all, fmt.Errorf("%s can't reach the origin either", strings.Join(either, ", ")))
	}
	return errors.Join(append(all, outcome)...)
}

// fromReplica pulls from one replica. If the replica's origin was pushed to in between, the
// replica pulls again first.
func (j *pullJob) fromReplica(ctx context.Context, src Source) (Result, error) {
	result, err := j.pullFrom(ctx, src)
	for again := 1; again < maxAttempts && src.ReachedOrigin && errors.Is(err, errNotAsAnnounced); again++ {
		renewed, renewErr := src.Renew(ctx)
		if renewErr != nil {
			break
		}
		src = renewed
		result, err = j.pullFrom(ctx, src)
	}
	return result, err
}

// isNoHelp reports whether, after an error, another replica is worth a try: this one could not
// be read, or has not reached the origin.
func isNoHelp(src Source, err error) bool {
	return !src.ReachedOrigin || errors.As(err, new(*unreachable)) || errors.Is(err, errNotAsAnnounced)
}

// have returns what this server has of a mirror now, and the mirror's origin.
func (s *Store) have(name storage.Name) (Have, origin.URL) {
	m, err := s.Get(name)
	if err != nil {
		return Have{None: true}, origin.URL{}
	}
	snap := m.Snapshot()
	return Have{Pulled: snap.Pulled, Fingerprint: snap.Fingerprint, Damaged: m.health.knownDamage() != nil}, snap.Origin
}
