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
)

// attempts is how often a pull looks at an origin that is pushed to while it is
// read.
const attempts = 3

// bring fetches what a mirror needs to become what its origin is, and returns
// what then is to be done. What its refs lead to is still to be looked up (peel).
func (j *pullJob) bring(
	ctx context.Context, lock *keylock.Lock[storage.Name], repo git.Repo, now git.Listing, src Source, from origin.URL, listing git.Listing,
) (brought, error) {
	for attempt := 1; ; attempt++ {
		b, err := j.plan(now, listing)
		if err != nil {
			return b, err
		}
		if ids, mode := j.fetchPlan(repo, b, now, listing); len(ids) > 0 {
			if err = j.fetch(ctx, lock, repo, src, from, ids, mode); err == nil {
				b, err = j.plan(now, listing) // some of it may be refused
			}
		}
		if err == nil {
			return b, nil
		}
		if !errors.Is(err, git.ErrMoved) || attempt == attempts {
			return brought{}, err
		}
		if listing, err = j.list(ctx, src, from); err != nil {
			return brought{}, err
		}
	}
}

// fetchPlan is what is to be fetched for a plan, and how. A mirror that is shallow may have a
// source that is not, or not any more: that takes asking it for all that it has. What no ref
// leads to yet is held, since somebody may repack the mirror by hand meanwhile; a mirror that is
// being built has no refs, and nobody knows it.
func (j *pullJob) fetchPlan(repo git.Repo, b brought, now, listing git.Listing) (ids []string, mode git.FetchMode) {
	if len(now.Refs) > 0 {
		mode.Hold = b.Fetch
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
	for _, id := range b.Fetch { // a detached HEAD
		if !seen[id] {
			ids = append(ids, id)
		}
	}
	return ids, mode
}

// list asks a source for its refs.
func (j *pullJob) list(ctx context.Context, src Source, from origin.URL) (git.Listing, error) {
	if err := j.lists.Acquire(ctx, j.req.Name.String()); err != nil {
		return git.Listing{}, err
	}
	defer j.lists.Release()
	j.progress.say("asking " + src.String() + " for its refs")
	j.asked = time.Now()
	reason := fmt.Errorf("%s did not answer within %s", src, min(j.opts.ListTimeout, j.left))
	var listing git.Listing
	err := j.spend(ctx, j.opts.ListTimeout, reason, func(ctx context.Context) (err error) {
		listing, err = j.opts.Git.List(ctx, src.remote(from))
		return err
	})
	if err != nil {
		return listing, &unreachable{err: fmt.Errorf("can't list refs%s: %w", src.of(), err)}
	}
	return listing, src.verifyAdvertised(listing, j.opts.Refs)
}

// maxTransferWait is how long a pull waits for a place for its transfer. Each transfer may
// take as long as fetch_timeout allows, and somebody may have set up a thousand mirrors.
const maxTransferWait = time.Hour

// fetch transfers objects, when there is a place for it. A failed transfer
// leaves nothing behind.
func (j *pullJob) fetch(
	ctx context.Context, lock *keylock.Lock[storage.Name], repo git.Repo, src Source, from origin.URL, ids []string,
	mode git.FetchMode,
) error {
	j.progress.say("waiting for other transfers")
	if err := j.fetches.AcquireWithin(ctx, j.req.Name.String(), maxTransferWait); err != nil {
		return err
	}
	defer j.fetches.Release()
	lock.Preempt()
	j.progress.say("fetching" + src.of())
	reason := fmt.Errorf("the transfer was not over within %s", j.opts.FetchTimeout)
	err := j.spend(ctx, j.left, reason, func(ctx context.Context) error {
		j.transferred = true
		fetched, err := repo.Fetch(ctx, src.remote(from), ids, mode, j.progress.say)
		j.fetched(fetched)
		return err
	})
	if err != nil {
		local := git.IsLocalFault(err)
		if err = fmt.Errorf("can't fetch%s: %w", src.of(), err); !local { // else no other source would do
			err = &unreachable{err, true}
		}
		return errors.Join(err, repo.Sweep())
	}
	return nil
}

// spend runs work within a limit and within what is left of the job's time.
func (j *pullJob) spend(ctx context.Context, limit time.Duration, reason error, work func(context.Context) error) error {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, min(limit, j.left), reason)
	defer cancel()
	defer func() { j.left -= time.Since(began) }()
	return work(ctx)
}
