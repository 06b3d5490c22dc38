package mirror

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/keylock"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/storage"
)

// When git fails in words that damage would explain, the mirror is checked in full. If it is
// damaged, it is rebuilt aside, from the origin or from a replica, and swapped; the old one
// serves what it can meanwhile.

// recheck is how long a mirror that was found whole is not checked again, whatever git
// says: a check reads all that it has.
const recheck = 10 * time.Minute

// Suspect has the mirror checked, and rebuilt if it is damaged, when damage would
// explain an error of work on it. Nobody waits for it.
func (m *Mirror) Suspect(err error) {
	retry := m.store.options.Load().Retry
	if now := time.Now(); m.health.suspicious(err, now) && m.health.tryRecovery(now, retry) {
		m.store.CheckSoon(m.Name)
	}
}

// RecoverAgain has a mirror rebuilt in which damage was found earlier, unless that was tried
// a moment ago. Nobody waits for it.
func (s *Store) RecoverAgain(name storage.Name) {
	m, err := s.Get(name) // why it cannot be read, Scan tells
	if err == nil && m.health.known() != nil && m.health.tryRecovery(time.Now(), s.options.Load().Retry) {
		s.CheckSoon(name)
	}
}

// CheckSoon has a mirror pulled that may be damaged, and rebuilt if it is. Nobody waits
// for it.
func (s *Store) CheckSoon(name storage.Name) {
	req := Request{Name: name, Check: true}
	opts := s.options.Load()
	s.pulls.Ask(name, req.variant(opts), func() (Result, error) { return s.pull(opts, req) })
}

// suspicious reports whether damage would explain an error of work on the mirror, and
// whether it is time to look for it.
func (h *health) suspicious(err error, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.damage != nil || git.SuggestsDamage(err) && now.Sub(h.whole) >= recheck
}

// tryRecovery reports whether it is time to have the mirror checked or rebuilt because of
// what readers have met with, and notes that it is done. Where nothing comes of it, as
// when no source can be reached, it is done less and less often.
func (h *health) tryRecovery(now time.Time, retry time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.recovery.Ready(now) {
		return false
	}
	h.recovery.Fail(now, retry)
	return true
}

// recover looks whether the mirror is damaged, unless that is known, and rebuilds it if
// it is. The result of the pull stands if not.
func (j *pullJob) recover(ctx context.Context, h *held, src Source, result Result, pullErr error) (Result, error) {
	damage := h.health.known()
	if damage == nil {
		j.progress.say("looking for damage")
		var warnings git.Warnings
		var err error
		damage, warnings, err = h.checkSuspect(ctx)
		if errors.Is(err, errOtherSuspect) && pullErr == nil {
			return result, nil
		} else if err != nil {
			return result, errors.Join(pullErr, err)
		}
		if err := h.recordCheck(damage, warnings, time.Now()); err != nil {
			return result, errors.Join(pullErr, damage, err)
		}
		if damage == nil {
			return result, pullErr
		}
		j.log.Error("a mirror is damaged", "mirror", h.Name, "err", damage)
	}
	if down := (*unreachable)(nil); errors.As(pullErr, &down) && !down.listed {
		return Result{}, errors.Join(pullErr, fmt.Errorf("the mirror is damaged: %w", damage))
	}
	result, err := j.rebuild(ctx, h, src)
	if err != nil && !errors.As(err, new(*refusedRefs)) {
		err = fmt.Errorf("can't rebuild the damaged mirror: %w", err)
		if pullErr == nil || errors.Is(pullErr, damage) {
			err = errors.Join(err, damage)
		}
	}
	return result, err
}

// rebuild rebuilds a mirror that can still be read in part.
func (j *pullJob) rebuild(ctx context.Context, h *held, src Source) (Result, error) {
	from, err := j.origin(h.Snapshot().Origin)
	if err != nil {
		return Result{}, err
	}
	listing, err := j.list(ctx, src, from)
	if err != nil {
		return Result{}, err
	}
	old := h.survivors()
	old.content, old.own, old.damaged, old.health = h.Snapshot().Listing, h.own(), true, &h.health
	return j.build(ctx, h.lock, src, from, listing, old)
}

// survivors describes this mirror for the one that will replace it.
func (h *held) survivors() *survivors {
	return &survivors{dir: h.Dir, identity: h.identity, stamp: contentStamp(h.repo), state: h.state()}
}

// replace rebuilds a mirror that cannot even be read, if damage is the reason.
func (j *pullJob) replace(ctx context.Context, lock *keylock.Lock[storage.Name], src Source, readErr error) (Result, error) {
	if !git.SuggestsDamage(readErr) {
		return Result{}, readErr
	}
	m, err := j.find(j.req.Name)
	if err != nil {
		return Result{}, err
	}
	repo := j.opts.Git.Repo(j.dir.MirrorDir(j.req.Name))
	state, err := readState(repo.Dir)
	if err != nil || state.Origin == "" {
		url, _ := repo.Origin(ctx) // better than nothing
		if known, err := origin.Parse(url, true); err == nil {
			state = stateFile{}
			state.setOrigin(known)
		}
	}
	from, err := j.origin(state.origin())
	if err != nil {
		return Result{}, errors.Join(readErr, err)
	}
	j.log.Error("a mirror cannot be read", "mirror", j.req.Name, "err", readErr)
	listing, err := j.list(ctx, src, from)
	if err != nil {
		return Result{}, errors.Join(err, readErr)
	}
	state.setCheck(readErr, time.Now())
	old := &survivors{dir: repo.Dir, identity: m.identity, stamp: contentStamp(repo), state: state, damaged: true}
	all, whole := repo.Survivors()
	old.content.Refs, old.own = refs.Separate(all)
	old.unsure = !whole
	return j.build(ctx, lock, src, from, listing, old)
}

// survivors is what can still be read of a mirror that is to be replaced; nil if there was
// none.
type survivors struct {
	dir      string
	identity storage.Identity
	stamp    string // of its content
	content  git.Listing
	own      []git.Ref
	state    stateFile
	damaged  bool    // that is why another one takes its place
	unsure   bool    // it may have had more refs
	health   *health // nil if it could not be read
}

// contentStamp is equal for two moments between which nobody has written refs or packs of a
// repository, as far as can be told without reading them.
func contentStamp(repo git.Repo) string {
	var b strings.Builder
	b.WriteString(repo.Stamp())
	packs, _ := os.ReadDir(filepath.Join(repo.Dir, "objects", "pack")) // what cannot be read is the same each time
	for _, pack := range packs {
		if info, err := pack.Info(); err == nil {
			fmt.Fprintf(&b, " %s %d %d", pack.Name(), info.Size(), info.ModTime().UnixNano())
		}
	}
	return b.String()
}

// changedIn reports whether somebody has changed the mirror by hand since its refs were read,
// such as by restoring files of it from a backup. It lies in that directory now.
func (o *survivors) changedIn(repo git.Repo) bool { return o.stamp != contentStamp(repo) }

// plan is what changes when the new mirror holds these refs.
func (o *survivors) plan(listing git.Listing, patterns []refs.Pattern, accept refs.Acceptance) (refs.Plan, error) {
	if o == nil {
		return refs.Make(git.Listing{}, listing, patterns, accept)
	}
	return refs.Rebuild(o.content, !o.unsure, listing, patterns, accept)
}

// rescue brings refs of an old mirror into one that takes its place and already has what
// the source has: those that no source has, and those that the plan takes away, which are
// retained. So are those that stay as they are, because what the source has of them is refused.
// What cannot be read any more is not among them, and the log says so; whole reports
// whether there is no such thing.
func (j *pullJob) rescue(ctx context.Context, repo git.Repo, old *survivors, p refs.Plan, stay []git.Ref) (saved []git.Ref, whole bool) {
	ours, others := refs.Split(p.After.Refs, j.opts.Refs)
	retained, _ := refs.Retain(old.own, old.losses(ctx, repo, p), time.Now(), refs.LimitsFor(j.opts.Keep))
	others = refs.Join(refs.Join(others, retained), stay)
	ours = slices.DeleteFunc(ours, func(ref git.Ref) bool { return slices.Contains(stay, ref) })
	saved, err := repo.Recover(ctx, j.opts.Git.Repo(old.dir), others, ours)
	if err != nil {
		j.log.Error("refs of a damaged mirror cannot be read", "mirror", j.req.Name,
			"refs", len(others)-len(saved), "err", err)
	}
	return saved, err == nil && !old.unsure
}

// losses are the refs that a plan takes away. A branch that was moved is lost if the new
// mirror has not got the old commit, or not in the history of what has moved.
func (o *survivors) losses(ctx context.Context, repo git.Repo, p refs.Plan) []git.Ref {
	lost, moved := refs.Losses(o.content, p)
	if len(moved) == 0 {
		return lost
	}
	olds := make([]git.Ref, len(moved))
	for i, ref := range moved {
		olds[i] = git.Ref{ID: ref.From.ID}
	}
	missing, err := repo.Peel(ctx, olds)
	replaced, historyErr := replacedRefs(ctx, repo, moved)
	inDoubt := err != nil || historyErr != nil
	for i, ref := range moved {
		if inDoubt || slices.Contains(missing, i) || slices.Contains(replaced, ref.From) {
			lost = append(lost, ref.From)
		}
	}
	return lost
}
