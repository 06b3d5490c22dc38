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
	"github.com/reconquest/sould/internal/storage"
)

// refresh is what the decision needs whether a read pulls first.
type refresh struct {
	mu        sync.Mutex           // guards all below
	pulled    bool                 // a pull has succeeded since the server started
	looked    time.Time            // when the origin was asked for what that pull has brought; by the monotonic clock, so that a clock set back does not matter
	retry     backoff.Backoff      // of pulls that a reader starts
	requested map[string]bool      // missing commits that readers wait for
	absent    map[string]time.Time // commits that a pull did not bring; until when no other pull is tried for them
}

// byReader is the By of a pull that a reader starts.
const byReader = "a reader"

// maxAbsent bounds each of the two sets of commits.
const maxAbsent = 1024

// wantsPull decides whether a read pulls first. It does if the latest pull failed, if none has
// succeeded since the start, or if the reader insists, as it does where the origin was looked at too
// long ago. It does not if the mirror has no usable origin, nor if ready is false: then a failed origin
// is left alone.
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
	snap, opts, r := m.Snapshot(), m.store.options.Load(), &m.refresh
	age, limited := opts.maxAge(m.Name)
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	insists = insists || limited && now.Sub(r.looked) >= age
	return wantsPull(snap, opts.Origins, insists, r.pulled, true) && r.retry.Ready(now) &&
		m.store.PausedUntil(snap.Origin.Host()).IsZero()
}

// NextLook tells for a mirror with a maximum age from when on a read looks at the origin again. ok is
// false for another mirror, and for one at whose origin this process has not looked.
func (m *Mirror) NextLook() (after time.Time, ok bool) {
	age, limited := m.store.options.Load().maxAge(m.Name)
	r := &m.refresh
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.looked.Add(age), limited && !r.looked.IsZero()
}

// MayPull reports whether mirrors of this origin are updated.
func (s *Store) MayPull(from origin.URL) bool { return s.options.Load().Origins.Check(from) == nil }

// Pulls tells whether a pull of the mirror has succeeded since the server started, and until when
// readers leave a failed origin alone; zero if they need not.
func (m *Mirror) Pulls() (succeeded bool, next time.Time) {
	r := &m.refresh
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pulled, r.retry.Until
}

func (r *refresh) wasPulled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pulled
}

// Refresh pulls before a read if the mirror is not known to be fresh, and waits for the pull as
// long as the patience lasts. Afterwards the mirror's snapshot is the best there is. A reader
// that insists does not accept the result of a pull that has already begun.
func (m *Mirror) Refresh(ctx context.Context, insists bool) {
	if !m.wantsPull(insists) {
		return
	}
	s := m.store
	opts := s.options.Load()
	patience := opts.Patience
	if began, running := s.oldestPull(m.Name); running && !insists {
		if age, limited := opts.maxAge(m.Name); limited && time.Since(began) >= age {
			insists = true // it may have looked at the origin too long ago
		} else {
			patience -= time.Since(began) // others have waited for it already
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	v, work := s.job(opts, Request{Name: m.Name, By: byReader})
	if insists {
		_, _ = s.pulls.Do(ctx, m.Name, v, work)
	} else {
		_, _ = s.pulls.Join(ctx, m.Name, v, work)
	}
}

// oldestPull tells when the pull of that name has begun that is running longest.
func (s *Store) oldestPull(name storage.Name) (began time.Time, running bool) {
	for _, p := range s.Pulling(name) {
		if !running || p.began.Before(began) {
			began, running = p.began, true
		}
	}
	return began, running
}

// EnsureCommit pulls for a commit that the mirror lacks, unless that was tried a moment ago. It
// waits for the pull until the patience of the reader, who came at that time, is over. It reports
// whether it pulled.
func (m *Mirror) EnsureCommit(ctx context.Context, commit string, came time.Time) (pulled bool) {
	if !m.wantsPull(true) || !m.refresh.shouldPullFor(commit) {
		return false
	}
	s := m.store
	opts := s.options.Load()
	ctx, cancel := context.WithDeadline(ctx, came.Add(opts.Patience))
	defer cancel()
	v, work := s.job(opts, Request{Name: m.Name, By: byReader})
	_, _ = s.pulls.Do(ctx, m.Name, v, work)
	return true
}

// shouldPullFor records that a reader needs a commit which the mirror lacks. It reports whether
// a pull is worth a try: not if one has just ended without bringing the commit.
func (r *refresh) shouldPullFor(commit string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Now().Before(r.absent[commit]) {
		return false
	}
	if r.requested == nil {
		r.requested, r.absent = make(map[string]bool), make(map[string]time.Time)
	}
	if len(r.requested) < maxAbsent {
		r.requested[commit] = true
	}
	return true
}

// recordPull records how a pull ended. looked is when the origin was asked for what the mirror has now,
// zero if it was not; posted means that a POST asked for it: the origin has
// news, and the next reader may pull at once, even if this pull has failed.
func (r *refresh) recordPull(err error, looked time.Time, posted bool, retry time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		r.retry.Reset()
		r.pulled = true
		if looked.After(r.looked) {
			r.looked = looked
		}
	case posted:
		r.retry.Reset()
	default:
		r.retry.Fail(time.Now(), retry)
	}
}

// recordAbsent records which of the requested commits a pull has not brought. A commit that is
// there, but not in the reader's branch, may get into it at any time: for that, readers may pull
// again after a second.
func (m *Mirror) recordAbsent(ctx context.Context, retry time.Duration) {
	r := &m.refresh
	r.mu.Lock()
	ids := slices.Collect(maps.Keys(r.requested))
	clear(r.requested)
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
		return // readers may pull again
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
