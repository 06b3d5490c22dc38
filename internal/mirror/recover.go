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

// recheckInterval is how long a mirror without damage is not checked again, whatever git says:
// a check reads all objects.
const recheckInterval = 10 * time.Minute

// Suspect takes an error of work on the mirror. If damage would explain the error, the mirror
// is checked in the background, and rebuilt if it is damaged.
func (m *Mirror) Suspect(err error) {
	retry := m.store.options.Load().Retry
	if now := time.Now(); m.health.suspicious(err, now) && m.health.tryRecovery(now, retry) {
		m.store.CheckSoon(m.Name)
	}
}

// RecoverAgain rebuilds, in the background, a mirror that is known to be damaged, unless that
// was tried a moment ago.
func (s *Store) RecoverAgain(name storage.Name) {
	m, err := s.Get(name) // scan logs the error
	if err == nil && m.health.knownDamage() != nil && m.health.tryRecovery(time.Now(), s.options.Load().Retry) {
		s.CheckSoon(name)
	}
}

// CheckSoon pulls, in the background, a mirror that may be damaged, and rebuilds it if it is.
func (s *Store) CheckSoon(name storage.Name) {
	v, work := s.job(s.options.Load(), Request{Name: name, By: "a look for damage", check: true})
	s.pulls.Ask(name, v, work)
}

// Damage returns what the last check has found, or nil.
func (m *Mirror) Damage() error { return m.health.knownDamage() }

// NextRecovery returns before when no recovery of a damaged mirror begins in the background.
func (m *Mirror) NextRecovery() time.Time {
	h := &m.health
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.recovery.Until
}

// suspicious reports whether the mirror is known to be damaged, or whether damage would explain
// err and the last clean check is long enough ago.
func (h *health) suspicious(err error, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.damage != nil || git.SuggestsDamage(err) && now.Sub(h.wholeAt) >= recheckInterval
}

// tryRecovery reports whether it is time for another recovery in the background, and records
// that one begins. Recoveries that do not help, as when no source can be reached, become rarer.
func (h *health) tryRecovery(now time.Time, retry time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.recovery.Ready(now) {
		return false
	}
	h.recovery.Fail(now, retry)
	return true
}

// recover checks the mirror, unless it is known to be damaged, and rebuilds it if it is. If it is
// not, the result of the pull stands.
func (j *pullJob) recover(ctx context.Context, h *held, src Source, result Result, pullErr error) (Result, error) {
	damage := h.health.knownDamage()
	if damage == nil {
		j.progress.say("looking for damage")
		var warnings git.Warnings
		var err error
		damage, warnings, err = h.checkSuspect(ctx)
		if errors.Is(err, errOtherCheck) && pullErr == nil {
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
	from, err := j.chooseOrigin(h.Snapshot().Origin)
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

// survivors describes a mirror that is to be replaced. The caller fills in what can be read of
// its refs.
func (h *held) survivors() *survivors {
	return &survivors{dir: h.dir, identity: h.identity, stamp: contentStamp(h.repo), state: h.state()}
}

// replaceUnreadable rebuilds a mirror that cannot be loaded, if damage is the reason.
func (j *pullJob) replaceUnreadable(ctx context.Context, lock *keylock.Lock[storage.Name], src Source, readErr error) (Result, error) {
	if !git.SuggestsDamage(readErr) {
		return Result{}, readErr
	}
	m, err := j.find(j.req.Name)
	if err != nil {
		return Result{}, err
	}
	repo := j.opts.Git.Repo(j.dir.MirrorDir(j.req.Name))
	state := rememberedState(ctx, repo)
	from, err := j.chooseOrigin(state.origin())
	if err != nil {
		return Result{}, errors.Join(readErr, err)
	}
	j.log.Error("a mirror cannot be read", "mirror", j.req.Name, "err", readErr)
	listing, err := j.list(ctx, src, from)
	if err != nil {
		return Result{}, errors.Join(err, readErr)
	}
	j.counts.damaged.Add(1)
	state.setCheck(readErr, time.Now())
	old := &survivors{dir: repo.Dir, identity: m.identity, stamp: contentStamp(repo), state: state, damaged: true}
	all, whole := repo.Survivors()
	old.content.Refs, old.own = refs.Separate(all)
	old.incomplete = !whole
	return j.build(ctx, lock, src, from, listing, old)
}

// rememberedState is what is known of a mirror that cannot be loaded.
func rememberedState(ctx context.Context, repo git.Repo) stateFile {
	state, err := readState(repo.Dir)
	if err != nil || state.Origin == "" {
		url, _ := repo.Origin(ctx) // without the state file, git's configuration may know it
		if known, err := origin.Parse(url, true); err == nil {
			state = stateFile{}
			state.setOrigin(known)
		}
	}
	return state
}

// survivors is what can still be read of a mirror that is to be replaced; nil if there is none.
type survivors struct {
	dir        string
	identity   storage.Identity
	stamp      string // of its content
	content    git.Listing
	own        []git.Ref
	state      stateFile
	damaged    bool    // it is replaced because of damage
	incomplete bool    // it may have more refs, which cannot be read
	health     *health // nil if it could not be loaded
}

// contentStamp returns a text that changes when somebody writes refs or packs of a repository,
// as far as file names, sizes and dates show it.
func contentStamp(repo git.Repo) string {
	var b strings.Builder
	b.WriteString(repo.Stamp())
	packs, _ := os.ReadDir(filepath.Join(repo.Dir, "objects", "pack")) // none if it cannot be read
	for _, pack := range packs {
		if info, err := pack.Info(); err == nil {
			fmt.Fprintf(&b, " %s %d %d", pack.Name(), info.Size(), info.ModTime().UnixNano())
		}
	}
	return b.String()
}

// changedIn reports whether somebody has changed the mirror by hand since its refs were read, as
// by restoring files from a backup. repo is where the mirror is now.
func (o *survivors) changedIn(repo git.Repo) bool { return o.stamp != contentStamp(repo) }

// plan returns what changes if the new mirror has these refs. The error is a refusal.
func (o *survivors) plan(listing git.Listing, patterns []refs.Pattern, accept refs.Acceptance) (refs.Plan, error) {
	if o == nil {
		return refs.Make(git.Listing{}, listing, patterns, accept)
	}
	return refs.Rebuild(o.content, !o.incomplete, listing, patterns, accept)
}

// recoverRefs copies refs of an old mirror, with their objects, into the repository that will
// replace it and already has what the source has. These are refs that no source has, refs that
// the plan takes away, which are retained, and refs that stay because the source's values of
// them are refused. Refs that cannot be read are left out, and the log says so; whole is then
// false.
func (j *pullJob) recoverRefs(ctx context.Context, repo git.Repo, old *survivors, p refs.Plan, stay []git.Ref) (saved []git.Ref, whole bool) {
	ours, others := refs.Split(p.After.Refs, j.opts.Refs)
	retained, _ := refs.Retain(old.own, old.losses(ctx, repo, p), time.Now(), refs.LimitsFor(j.opts.Keep))
	others = refs.Join(refs.Join(others, retained), stay)
	ours = slices.DeleteFunc(ours, func(ref git.Ref) bool { return slices.Contains(stay, ref) })
	saved, err := repo.Recover(ctx, j.opts.Git.Repo(old.dir), others, ours)
	if err != nil {
		j.log.Error("refs of a damaged mirror cannot be read", "mirror", j.req.Name,
			"refs", len(others)-len(saved), "err", err)
	}
	return saved, err == nil && !old.incomplete
}

// losses returns the refs that a plan takes away. A moved branch is lost if the new mirror lacks
// its old commit, or has it, but not in the history of the refs that have moved.
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
