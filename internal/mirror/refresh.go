package mirror

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/backoff"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/origin"
)

// refresh is what decides whether a reader has a mirror pulled first.
type refresh struct {
	mu     sync.Mutex           // guards all below
	pulled bool                 // successfully, since the server started
	retry  backoff.Backoff      // of pulls that a reader starts
	wanted map[string]bool      // commits that the next pull to end may bring
	absent map[string]time.Time // commits that a pull did not bring, until when not to pull for them
}

// maxAbsent bounds the commits that are remembered to be absent.
const maxAbsent = 1024

// wantsPull decides whether a reader has a mirror pulled first: when the latest pull failed,
// when there was none since the start, or when the reader insists; not when there is nothing
// to pull from, nor while a failed origin is left alone.
func wantsPull(snap *Snapshot, origins origin.Policy, insists, pulled, ready bool) bool {
	switch {
	case !snap.Origin.Known():
		return false
	case insists, snap.Outcome != Success, !pulled:
		return ready && origins.Check(snap.Origin) == nil
	default:
		return false
	}
}

// wantsPull applies the decision to the mirror as it is now.
func (m *Mirror) wantsPull(insists bool) bool {
	snap, r := m.Snapshot(), &m.refresh
	r.mu.Lock()
	defer r.mu.Unlock()
	return wantsPull(snap, m.store.options.Load().Origins, insists, r.pulled, true) && r.retry.Ready(time.Now())
}

func (r *refresh) wasPulled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pulled
}

// Refresh pulls before a read if the mirror is not known to be fresh, and waits for it as
// long as the patience lasts. Whatever comes of it, the mirror's snapshot is then the best
// there is. A reader that insists is not content with a pull that is running.
func (m *Mirror) Refresh(ctx context.Context, insists bool) {
	if !m.wantsPull(insists) {
		return
	}
	s := m.store
	opts := s.options.Load()
	patience := opts.Patience
	if p := s.Progress(m.Name); p != nil && !insists {
		patience -= time.Since(p.Began) // others have waited for it already
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req := Request{Name: m.Name}
	work := func() (Result, error) { return s.pull(opts, req) }
	if insists {
		_, _ = s.pulls.Do(ctx, m.Name, req.variant(opts), work)
	} else {
		_, _ = s.pulls.Join(ctx, m.Name, req.variant(opts), work)
	}
}

// EnsureCommit pulls for a commit that the mirror lacks, unless that was tried a moment ago.
// It waits for it as long as the patience lasts of a reader that came then.
func (m *Mirror) EnsureCommit(ctx context.Context, commit string, came time.Time) (pulled bool) {
	if !m.wantsPull(true) || !m.refresh.seek(commit) {
		return false
	}
	s := m.store
	opts := s.options.Load()
	ctx, cancel := context.WithDeadline(ctx, came.Add(opts.Patience))
	defer cancel()
	req := Request{Name: m.Name}
	_, _ = s.pulls.Do(ctx, m.Name, req.variant(opts), func() (Result, error) { return s.pull(opts, req) })
	return true
}

// seek notes that somebody looks for a commit that is not here, and reports
// whether a pull is worth a try: not if one has just ended without bringing it.
func (r *refresh) seek(commit string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Now().Before(r.absent[commit]) {
		return false
	}
	if r.wanted == nil {
		r.wanted, r.absent = make(map[string]bool), make(map[string]time.Time)
	}
	if len(r.wanted) < maxAbsent {
		r.wanted[commit] = true
	}
	return true
}

// ended notes how a pull ended, for the decision about the next one. posted says that
// somebody has asked for it who knows that the origin has news.
func (r *refresh) ended(err error, posted bool, retry time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		r.retry.Reset()
		r.pulled = true
	case posted:
		r.retry.Reset()
	default:
		r.retry.Fail(time.Now(), retry)
	}
}

// recordAbsent notes which of the commits that readers look for a pull has not brought.
// One that it has brought may get into the branch at any time: that is looked for
// again soon.
func (m *Mirror) recordAbsent(ctx context.Context, retry time.Duration) {
	r := &m.refresh
	r.mu.Lock()
	ids := slices.Collect(maps.Keys(r.wanted))
	clear(r.wanted)
	r.mu.Unlock()
	if len(ids) == 0 {
		return
	}
	wanted := make([]git.Ref, len(ids))
	for i, id := range ids {
		wanted[i].ID = id
	}
	missing, err := m.repo().Peel(ctx, wanted)
	if err != nil {
		return // they are looked for again
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.absent)+len(ids) > maxAbsent {
		clear(r.absent)
	}
	for i, id := range ids {
		wait := min(retry, time.Second)
		if slices.Contains(missing, i) {
			wait = retry
		}
		r.absent[id] = now.Add(wait)
	}
}
