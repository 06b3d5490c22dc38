package mirror

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
)

// fromReplicas pulls from a replica because the origin could not be reached. The best replica is
// one that has reached the origin. Else it is the one with the latest pull, if that is later than
// the mirror's; then the pull has failed all the same. reason is the origin's error.
func (j *pullJob) fromReplicas(ctx context.Context, reason error) (Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, j.opts.FetchTimeout, fmt.Errorf("no peer could help within %s", j.opts.FetchTimeout))
	defer cancel()
	j.remaining, j.fallbackBegan = j.opts.FetchTimeout, time.Now()
	have, stored := j.have(j.req.Name)
	j.pulledBefore = have.Pulled
	from, err := j.chooseOrigin(stored)
	if err != nil {
		return Result{}, errors.Join(reason, err)
	}
	sources := j.fallback.Sources(ctx, Query{
		Name: j.req.Name, Origin: from, Move: j.req.Move, Accept: j.req.Accept, OriginDown: j.req.OriginDown,
		Refs: j.opts.Refs,
		Have: have, Damaged: func() bool { now, _ := j.have(j.req.Name); return now.Damaged },
	})
	if sources == nil {
		return Result{}, reason
	}
	j.progress.say("asking peers, since the origin cannot be reached")
	failed := []error{reason}
	for src, err := range sources {
		if err != nil {
			failed = append(failed, err)
			continue
		}
		result, err := j.fromReplica(ctx, src)
		switch {
		case errors.Is(err, errOvertaken):
			return result, nil
		case err != nil && git.IsLocalFault(err) && !errors.As(err, new(*unreachable)):
			return Result{}, errtext.Several("the origin cannot be reached, and what a peer has cannot be stored", append(failed, err)...)
		case err != nil && !isNoHelp(src, err):
			return result, err
		case err != nil:
			failed = append(failed, fmt.Errorf("peer %s: %w", src.Peer, err))
			continue
		case src.ReachedOrigin, j.req.OriginDown:
			return result, nil
		}
		failed = append(failed, fmt.Errorf("what the peer %s had of %s is here now", src.Peer, date(src.Pulled)))
		break
	}
	if len(failed) == 1 {
		return Result{}, reason
	}
	return Result{}, errtext.Several("neither the origin nor a peer could help", failed...)
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
