package mirror

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/keylock"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/storage"
)

// disk is what is known of a mirror's files by who writes them.
type disk struct {
	state     stateFile
	stamp     string         // of the refs that the snapshot shows
	own       []git.Ref      // refs that are not for clients
	packed    bool           // all refs are where they can be changed in one step
	selection []refs.Pattern // what the snapshot's fingerprint selects
	refused   refusedIDs
}

// held is a mirror whose lock its holder has. All that writes to a mirror is a method of it,
// and nothing else touches Mirror.disk once the mirror is loaded.
type held struct {
	*Mirror
	opts *Options
	repo git.Repo
	lock *keylock.Lock[storage.Name]
}

// hold is the mirror as the holder of its lock has it.
func (m *Mirror) hold(opts *Options, lock *keylock.Lock[storage.Name]) *held {
	return &held{m, opts, opts.Git.Repo(m.Dir), lock}
}

// packRefs sees to it that all refs are where they can be changed in one step, and
// that readers see what is on disk, also if somebody has changed it by hand.
func (h *held) packRefs(ctx context.Context) error {
	if h.disk.packed && h.repo.Stamp() == h.disk.stamp {
		return nil
	}
	h.lock.Preempt()
	listing, err := h.repo.PackRefs(ctx)
	if err != nil {
		return orDamage(err)
	}
	h.publish(listing, h.repo.Stamp())
	h.disk.packed = true
	return nil
}

// apply makes the mirror what a plan says, on disk and for readers, with these refs of its
// own and this state. Its refs must be packed. A crash at any moment, and an error, leave
// either all of the old refs or all of the new ones.
func (h *held) apply(ctx context.Context, p refs.Plan, own []git.Ref, next stateFile) error {
	if err := h.same(); err != nil {
		return err
	}
	if !p.Empty() {
		h.lock.Preempt()
		if err := h.change(p, own); err != nil {
			return errors.Join(err, h.reread(ctx))
		}
	}
	if err := next.write(h.Dir); err != nil {
		return errors.Join(err, h.reread(ctx))
	}
	h.disk.state = next
	if p.Empty() {
		h.publish(git.Listing{}, h.disk.stamp)
	} else {
		h.publish(git.Listing{Refs: refs.Join(p.After.Refs, own), Head: p.After.Head}, h.repo.Stamp())
	}
	return nil
}

// change writes refs, the mirror's own included, and HEAD. Refs change in one step, and HEAD in
// another: it is noted in the state first, so that a start can complete it.
func (h *held) change(p refs.Plan, own []git.Ref) error {
	all := refs.Join(p.After.Refs, own)
	if p.Head != nil {
		state := h.disk.state
		state.Pending = &pendingHead{*p.Head, digest(all)}
		if err := state.write(h.Dir); err != nil {
			return err
		}
	}
	h.refs.Lock()
	defer h.refs.Unlock()
	if p.Changed() > 0 || !slices.Equal(own, h.disk.own) {
		if err := h.repo.WriteRefs(all); err != nil {
			return err
		}
	}
	if err := h.repo.Release(); err != nil {
		return err
	}
	if p.Head != nil {
		return h.repo.WriteHead(*p.Head)
	}
	return nil
}

// setOwn makes these the refs of the mirror's own, and leaves all others as they are. Its
// refs must be packed.
func (h *held) setOwn(own []git.Ref) error {
	snap := h.Snapshot()
	all := refs.Join(snap.Refs, own)
	h.refs.Lock()
	err := h.repo.WriteRefs(all)
	h.refs.Unlock()
	if err == nil {
		h.publish(git.Listing{Refs: all, Head: snap.Head}, h.repo.Stamp())
	}
	return err
}

// reread makes known to readers what is on disk after a change that went wrong.
func (h *held) reread(ctx context.Context) error {
	h.loading.Lock()
	defer h.loading.Unlock()
	h.completed = false
	if err := h.complete(ctx, h.repo); err != nil {
		return err
	}
	stamp := h.repo.Stamp()
	listing, err := h.repo.Refs(ctx)
	if err == nil {
		h.publish(listing, stamp)
	}
	return err
}

// publish makes the state and, if the stamp is new, these refs known to readers.
func (h *held) publish(l git.Listing, stamp string) {
	h.show(h.disk.publish(h.opts, h.Dir, h.Snapshot(), l, stamp))
}

// publish makes the snapshot of what is on disk. Digesting thousands of refs takes a while:
// if the stamp is that of the old snapshot, it is not done again.
func (d *disk) publish(opts *Options, dir string, old *Snapshot, l git.Listing, stamp string) *Snapshot {
	snap := &Snapshot{stamp: stamp}
	same := old != nil && stamp == d.stamp
	if same {
		snap.Listing, snap.Retained = old.Listing, old.Retained
	} else {
		snap.Head = l.Head
		snap.Refs, d.own = refs.Separate(l.Refs)
		d.own = slices.DeleteFunc(d.own, func(ref git.Ref) bool { return git.IsHold(ref.Name) })
		snap.Retained = refs.RetainedAmong(d.own)
	}
	if same && slices.Equal(d.selection, opts.Refs) {
		snap.Fingerprint = old.Fingerprint
	} else {
		snap.Fingerprint = refs.FingerprintOf(snap.Listing, opts.Refs)
	}
	d.stamp, d.selection = stamp, opts.Refs
	snap.Shallow = opts.Git.Repo(dir).IsShallow()
	if d.state.Pulled.IsZero() {
		snap.Changed = refsChanged(dir)
	}
	return snap.with(&d.state)
}

// state is what the mirror's own file says.
func (h *held) state() stateFile { return h.disk.state }

// own are the refs that are not for clients.
func (h *held) own() []git.Ref { return h.disk.own }

// refused are the objects that the latest pull was refused.
func (h *held) refused() refusedIDs { return h.disk.refused }

func (h *held) setRefused(ids refusedIDs) { h.disk.refused = ids }

// update changes what the mirror's own file says, on disk and then for readers.
func (h *held) update(change func(*stateFile)) error {
	next := h.disk.state
	change(&next)
	if err := next.write(h.Dir); err != nil {
		return err
	}
	h.disk.state = next
	h.show(h.Snapshot().with(&next))
	return nil
}

// recordFailure notes that a pull failed: for readers, and on disk if it is news.
func (h *held) recordFailure(reason error) error {
	next := h.disk.state
	next.Outcome, next.LastError = Failed, reason.Error()
	h.show(h.Snapshot().with(&next))
	if next.Outcome == h.disk.state.Outcome && next.LastError == h.disk.state.LastError {
		return nil
	}
	h.disk.state = next
	return next.write(h.Dir)
}

// recordCheck notes how a check of all objects ended.
func (h *held) recordCheck(damage error, warnings git.Warnings, now time.Time) error {
	h.health.record(damage, now)
	return h.update(func(s *stateFile) {
		s.setCheck(damage, now)
		s.Warnings = warnings
	})
}
