package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/reconquest/sould/internal/git"
)

// recheck is how long a mirror that was found whole is not checked again, whatever git
// says: a check reads all that it has.
const recheck = 10 * time.Minute

// Suspect has a mirror checked, and built anew if it is damaged, when damage would
// explain an error. Nobody waits for it.
func (ms *Mirrors) Suspect(set *settings, m *Mirror, err error) {
	if now := time.Now(); !m.suspicious(err, now) || !m.tryToMend(now, set.Retry) {
		return
	}
	ms.checkSoon(set, m.Name)
}

// MendAgain has a mirror built anew in which damage was found earlier, unless that was tried
// a moment ago. Nobody waits for it.
func (ms *Mirrors) MendAgain(set *settings, name Name) {
	m, err := ms.Get(set, name)
	if err == nil && m.knownDamage() != nil && m.tryToMend(time.Now(), set.Retry) { // why it cannot be read, Look tells
		ms.checkSoon(set, name)
	}
}

// checkSoon has a mirror pulled that may be damaged, and built anew if it is. Nobody waits
// for it.
func (ms *Mirrors) checkSoon(set *settings, name Name) {
	req := pullRequest{Name: name, Check: true}
	ms.pulls.Ask(name, req.variant(set), func() (Pulled, error) { return ms.pull(set, req) })
}

// suspicious reports whether damage would explain an error of work on the mirror, and
// whether it is time to look for it.
func (m *Mirror) suspicious(err error, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.damage != nil || git.Suspicious(err) && now.Sub(m.whole) >= recheck
}

// tryToMend reports whether it is time to have the mirror checked or built anew because of
// what readers have met with, and notes that it is done. Where nothing comes of it, as
// when no source can be reached, it is done less and less often.
func (m *Mirror) tryToMend(now time.Time, retry time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.mending.ready(now) {
		return false
	}
	m.mending.failed(now, retry)
	return true
}

// heal looks whether the mirror is damaged, unless that is known, and builds it anew if
// it is. The result of the pull stands if not.
func (j *pullJob) heal(ctx context.Context, m *Mirror, src source, pulled Pulled, pullErr error) (Pulled, error) {
	damage := m.knownDamage()
	if damage == nil {
		j.progress.say("looking for damage")
		var warnings git.Warnings
		var err error
		damage, warnings, err = j.ms.checkSuspect(ctx, j.set, m)
		if errors.Is(err, errOtherSuspect) && pullErr == nil {
			return pulled, nil
		} else if err != nil {
			return pulled, errors.Join(pullErr, err)
		}
		if err := m.noteCheck(damage, warnings, time.Now()); err != nil {
			return pulled, errors.Join(pullErr, damage, err)
		}
		if damage == nil {
			return pulled, pullErr
		}
		j.ms.log.Error("a mirror is damaged", "mirror", m.Name, errTree(damage))
	}
	if down := (*unreachable)(nil); errors.As(pullErr, &down) && !down.listed {
		return Pulled{}, errors.Join(pullErr, fmt.Errorf("the mirror is damaged: %w", damage))
	}
	pulled, err := j.rebuild(ctx, m, src)
	if refused := (*refusedRefs)(nil); err != nil && !errors.As(err, &refused) {
		err = fmt.Errorf("can't build the damaged mirror anew: %w", err)
		if pullErr == nil {
			err = errors.Join(err, damage)
		}
	}
	return pulled, err
}

// errOtherSuspect is why a mirror is not checked now. It will be when it fails again.
var errOtherSuspect = errors.New("not checked for damage: another mirror is just being checked")

// checkSuspect checks a mirror because something has failed. Only one is checked so at a
// time, and the others do not wait: what all of them fail with is hardly their damage, and
// to read all that there is would take the disk from everybody. It must be the mirror's turn.
func (ms *Mirrors) checkSuspect(ctx context.Context, set *settings, m *Mirror) (damage error, warnings git.Warnings, err error) {
	if !ms.suspecting.TryLock() {
		return nil, nil, errOtherSuspect
	}
	defer ms.suspecting.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, choreLimit, fmt.Errorf("not over within %s", choreLimit))
	defer cancel()
	ms.dropBroken(ctx, set, m)
	return set.git.Repo(m.Dir).Check(ctx)
}

// rebuild builds a mirror anew that can still be read in part.
func (j *pullJob) rebuild(ctx context.Context, m *Mirror, src source) (Pulled, error) {
	origin, err := j.origin(m.Snapshot().Origin)
	if err != nil {
		return Pulled{}, err
	}
	listing, err := j.list(ctx, src, origin)
	if err != nil {
		return Pulled{}, err
	}
	old := &remains{dir: m.Dir, content: m.Snapshot().Listing, own: m.own, state: m.state, damaged: true}
	old.mending, old.whole = m.lately()
	return j.build(ctx, src, origin, listing, old)
}

// replace builds a mirror anew that cannot even be read, if damage is the reason.
func (j *pullJob) replace(ctx context.Context, src source, readErr error) (Pulled, error) {
	if !git.Suspicious(readErr) {
		return Pulled{}, readErr
	}
	repo := j.set.git.Repo(j.ms.storage.MirrorDir(j.req.Name))
	state, err := readState(repo.Dir)
	if err != nil || state.Origin == "" {
		url, _ := repo.Origin(ctx) // better than nothing
		if o, err := ParseOrigin(url, true); err == nil {
			state = stateFile{}
			state.setOrigin(o)
		}
	}
	origin, err := j.origin(state.origin())
	if err != nil {
		return Pulled{}, errors.Join(readErr, err)
	}
	j.ms.log.Error("a mirror cannot be read", "mirror", j.req.Name, errTree(readErr))
	listing, err := j.list(ctx, src, origin)
	if err != nil {
		return Pulled{}, errors.Join(err, readErr)
	}
	state.noteCheck(readErr, time.Now())
	old := &remains{dir: repo.Dir, state: state, damaged: true}
	refs, whole := repo.Remains()
	old.content.Refs, old.own = separate(refs)
	old.unsure = !whole
	return j.build(ctx, src, origin, listing, old)
}

// remains is what is known of a mirror that another one takes the place of. That of a
// mirror that was not there is nil.
type remains struct {
	dir     string
	content git.Listing
	own     []git.Ref
	state   stateFile
	damaged bool      // that is why another one takes its place
	unsure  bool      // it may have had more refs
	mending backoff   // of attempts to mend it
	whole   time.Time // when a check found nothing
}

// plan is what changes when the new mirror holds these refs. What would be refused if
// nothing were damaged is refused, and so is to become empty if nobody knows what there
// was.
func (r *remains) plan(listing git.Listing, patterns []RefPattern, accept acceptance) (plan, error) {
	if r == nil {
		return makePlan(git.Listing{}, listing, patterns, accept)
	}
	p, err := makePlan(r.content, listing, patterns, accept)
	content, _ := split(p.after.Refs, patterns)
	if err == nil && r.unsure && len(content) == 0 && !accept.covers(p.after, patterns) {
		return plan{}, &refusal{empty: true}
	}
	return p, err
}

// salvage brings refs of an old mirror into one that takes its place and already has what
// the source has: those that no source has, and those that the plan takes away, which are
// kept. So are those that stay as they are, because what the source has of them is refused.
// What cannot be read any more is not among them, and the log says so; whole reports
// whether there is no such thing.
func (j *pullJob) salvage(ctx context.Context, repo git.Repo, old *remains, p plan, stay []git.Ref) (saved []git.Ref, whole bool) {
	ours, refs := split(p.after.Refs, j.set.Refs)
	kept, _ := keep(old.own, old.losses(ctx, repo, p), time.Now(), keepFor(j.set.Keep))
	refs = joined(refs, kept)
	refs = joined(refs, stay)
	ours = slices.DeleteFunc(ours, func(ref git.Ref) bool { return slices.Contains(stay, ref) })
	saved, err := repo.Salvage(ctx, j.set.git.Repo(old.dir), refs, ours)
	if err != nil {
		j.ms.log.Error("refs of a damaged mirror cannot be read", "mirror", j.req.Name,
			"refs", len(refs)-len(saved), errTree(err))
	}
	return saved, err == nil && !old.unsure
}

// losses are the refs that a plan takes away. A branch that was moved is lost if the new
// mirror has not got the old commit, or not in the history of what has moved.
func (r *remains) losses(ctx context.Context, repo git.Repo, p plan) []git.Ref {
	lost, asks := losses(r.content, p)
	if len(asks) == 0 {
		return lost
	}
	olds := make([]git.Ref, len(asks))
	for i, ask := range asks {
		olds[i] = git.Ref{ID: ask.from.ID}
	}
	missing, err := repo.Peel(ctx, olds)
	replaced, historyErr := replacedRefs(ctx, repo, asks)
	inDoubt := err != nil || historyErr != nil
	for i, ask := range asks {
		if inDoubt || slices.Contains(missing, i) || slices.Contains(replaced, ask.from) {
			lost = append(lost, ask.from)
		}
	}
	return lost
}

// lately is when the mirror was last mended or found whole. One that is built in its place
// goes on from there: what was built may be no better.
func (m *Mirror) lately() (mending backoff, whole time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mending, m.whole
}

// knownDamage is what was found broken in the mirror, or nil.
func (m *Mirror) knownDamage() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.damage
}

// noteDamage notes what a check of all objects has found.
func (m *Mirror) noteDamage(damage error, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.damage = damage; damage == nil {
		m.whole = now
	}
}
