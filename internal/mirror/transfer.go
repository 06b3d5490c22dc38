package mirror

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/keylock"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/units"
)

// maxAttempts is how often a pull lists the refs of a source that is pushed to meanwhile.
const maxAttempts = 3

// fetchMissing fetches the objects that a mirror needs to become what the source is, and returns
// the plan for its refs, which are not peeled yet (peel).
func (j *pullJob) fetchMissing(
	ctx context.Context, lock *keylock.Lock[storage.Name], repo git.Repo, now git.Listing, src Source, from origin.URL, listing git.Listing,
) (fetchedPlan, error) {
	for attempt := 1; ; attempt++ {
		b, err := j.plan(now, listing)
		if err != nil {
			return b, err
		}
		if ids, mode := j.fetchPlan(repo, b, now, listing); len(ids) > 0 {
			if err = j.fetch(ctx, lock, repo, src, from, ids, mode); err == nil {
				b, err = j.plan(now, listing) // again: the fetch may have refused some objects
			}
		}
		if err == nil {
			return b, nil
		}
		if !errors.Is(err, git.ErrMoved) || attempt == maxAttempts {
			return fetchedPlan{}, err
		}
		if listing, err = j.list(ctx, src, from); err != nil {
			return fetchedPlan{}, err
		}
		j.growing.list(repo, src, listing, j.opts.Refs)
	}
}

// fetchPlan returns which objects to fetch for a plan, and how. The source of a shallow mirror
// need not be shallow, so all its refs are asked for then. The fetched objects are held until a
// ref leads to them, since an operator may repack the mirror meanwhile. A mirror without refs is
// being built: nobody else knows it.
func (j *pullJob) fetchPlan(repo git.Repo, b fetchedPlan, now, listing git.Listing) (ids []string, mode git.FetchMode) {
	if len(now.Refs) > 0 {
		mode.Hold = b.Fetch
	} else {
		mode.Clone = len(j.refused) == 0 && refs.IncludeDefaults(j.opts.Refs) && listing.IsOrdinary()
	}
	if mode.Deepen = repo.IsShallow(); !mode.Deepen {
		return b.Fetch, mode
	}
	seen := make(map[string]bool)
	wanted, _ := refs.Split(listing.Refs, j.opts.Refs)
	for _, ref := range wanted {
		if j.refused[ref.ID] == "" && !seen[ref.ID] {
			seen[ref.ID] = true
			ids = append(ids, ref.ID)
		}
	}
	for _, id := range b.Fetch { // a detached HEAD is not in listing.Refs
		if !seen[id] {
			ids = append(ids, id)
		}
	}
	return ids, mode
}

// list asks a source for its refs. The error may be an *unreachable or errNotAsAnnounced.
func (j *pullJob) list(ctx context.Context, src Source, from origin.URL) (git.Listing, error) {
	if err := j.lists.Acquire(ctx, j.req.Name.String()); err != nil {
		return git.Listing{}, err
	}
	defer j.lists.Release()
	j.progress.read("asking "+src.String()+" for its refs", src)
	j.listedAt = time.Now()
	reason := fmt.Errorf("%s did not answer within %s", src, units.FormatDuration(min(j.opts.ListTimeout, j.remaining)))
	var listing git.Listing
	err := j.spend(ctx, j.opts.ListTimeout, reason, func(ctx context.Context) (err error) {
		listing, err = j.opts.Git.List(ctx, j.remote(src, from), refs.Prefixes(j.opts.Refs)...)
		return err
	})
	j.heed(src, from, j.listedAt, err)
	if err != nil {
		return listing, &unreachable{err: fmt.Errorf("can't list refs%s: %w", src.fromText(), err)}
	}
	return listing, src.verifyAdvertised(listing, j.opts.Refs)
}

// heed records whether the host of an origin, which was asked at that time, wants to be left alone.
func (j *pullJob) heed(src Source, from origin.URL, asked time.Time, err error) {
	wait := git.RetryAfter(err)
	switch {
	case !src.isOrigin():
	case err == nil:
		if j.pauses.answered(from.Host(), asked) {
			j.writePauses()
		}
	case wait > 0:
		if j.pauses.set(from.Host(), time.Now(), wait) {
			j.log.Warn("a host of origins asks to be left alone: polls and reads heed that", "host", from.Host(), "for", units.FormatDuration(wait))
		}
		j.writePauses()
	}
}

// remote is a source in git's terms, as the configuration permits to connect to it. Other servers of
// the cluster may be at private addresses.
func (j *pullJob) remote(src Source, from origin.URL) git.Remote {
	remote := src.remote(from)
	remote.Public = src.isOrigin() && j.opts.Public != nil && j.opts.Public(j.req.Name)
	return remote
}

// maxTransferWait is how long a pull waits for a place for its transfer. It is long: each
// transfer may take fetch_timeout, and a thousand mirrors may have been set up at once.
const maxTransferWait = time.Hour

// fetch transfers objects when there is a place for that. A failed transfer leaves nothing
// behind. If it is no fault of this machine, its error is an *unreachable.
func (j *pullJob) fetch(
	ctx context.Context, lock *keylock.Lock[storage.Name], repo git.Repo, src Source, from origin.URL, ids []string,
	mode git.FetchMode,
) error {
	j.progress.wait("waiting for other transfers")
	if err := j.fetches.AcquireWithin(ctx, j.req.Name.String(), maxTransferWait); err != nil {
		return err
	}
	defer j.fetches.Release()
	lock.Preempt()
	j.progress.read("fetching"+src.fromText(), src)
	if j.growing != nil && j.growing.pack != nil {
		mode.Packs = j.growing.pack.next
	}
	mode.Limit = j.limit()
	reason := fmt.Errorf("the transfer took longer than %s", units.FormatDuration(j.opts.FetchTimeout))
	err := j.spend(ctx, j.remaining, reason, func(ctx context.Context) error {
		j.transferred = true
		fetched, err := repo.Fetch(ctx, j.remote(src, from), ids, mode, j.progress.transferring)
		j.recordFetched(fetched)
		return err
	})
	if err != nil {
		j.heed(src, from, time.Time{}, err)
		local := git.IsLocalFault(err)
		if errors.Is(err, git.ErrTooLarge) { // from whichever source
			local, err = true, &TooLarge{mode.Limit}
			j.room.Exceeded(j.req.Name)
		}
		if err = fmt.Errorf("can't fetch%s: %w", src.fromText(), err); !local { // with a local fault, no other source would do
			err = &unreachable{err, true}
		}
		return errors.Join(err, repo.Sweep())
	}
	return nil
}

// spend runs work within a limit and within what remains of the job's time, which it reduces.
// reason is the cause of the end of work's context.
func (j *pullJob) spend(ctx context.Context, limit time.Duration, reason error, work func(context.Context) error) error {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, min(limit, j.remaining), reason)
	defer cancel()
	defer func() { j.remaining -= time.Since(began) }()
	return work(ctx)
}
