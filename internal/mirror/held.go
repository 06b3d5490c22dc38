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

// disk is what a mirror's writer knows about its files.
type disk struct {
	state     stateFile
	file      stateOnDisk
	stamp     string         // of the refs that the snapshot shows (git.Repo.Stamp)
	own       []git.Ref      // refs that are not for clients, such as retained ones
	held      bool           // packed-refs has temporary refs, which somebody else has put there (git.IsHold)
	packed    bool           // all refs are in packed-refs
	selection []refs.Pattern // of the refs in the snapshot's fingerprint
	refused   refusedIDs     // by the latest pull
	packs     packsOnDisk
}

// held is a mirror whose lock the caller holds. Everything that writes to a mirror is a method
// of held, and nothing else uses Mirror.disk once the mirror is loaded.
type held struct {
	*Mirror
	opts *Options
	repo git.Repo
	lock *keylock.Lock[storage.Name]
	poll bool // nobody waits for what is written
}

// hold returns the mirror as the holder of its lock has it.
func (m *Mirror) hold(opts *Options, lock *keylock.Lock[storage.Name]) *held {
	return &held{Mirror: m, opts: opts, repo: opts.Git.Repo(m.dir), lock: lock}
}

// packRefs puts all refs into packed-refs, where they can be changed in one step. It also makes
// known to readers what an operator has changed by hand.
func (h *held) packRefs(ctx context.Context) error {
	if h.disk.packed && h.repo.HasStamp(h.disk.stamp) {
		return nil
	}
	h.lock.Preempt()
	listing, err := h.repo.PackRefs(ctx)
	if err != nil {
		return markDamage(err)
	}
	h.publish(listing, h.repo.Stamp())
	h.disk.packed = true
	return nil
}

// apply carries out a plan, on disk and for readers; own and next are the mirror's own refs and
// its state afterwards. The refs must be packed. A crash or an error leaves either all old refs
// or all new ones.
func (h *held) apply(ctx context.Context, p refs.Plan, own []git.Ref, next stateFile) error {
	if err := h.checkIdentity(); err != nil {
		return err
	}
	if !p.Empty() {
		h.lock.Preempt()
		if err := h.change(p, own); err != nil {
			return errors.Join(err, h.reread(ctx))
		}
	}
	if p.Empty() && h.disk.held {
		h.lock.Preempt()
		if err := h.setOwn(own); err != nil {
			return errors.Join(err, h.reread(ctx))
		}
	}
	write := h.disk.file.write
	if h.poll {
		write = h.disk.file.writePulled
	}
	if err := write(h.dir, next); err != nil {
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

// change writes the refs of a plan, the mirror's own refs and HEAD. The change of HEAD, a step
// of its own, is recorded in the state file first, so that the next start can complete it.
func (h *held) change(p refs.Plan, own []git.Ref) error {
	all := refs.Join(p.After.Refs, own)
	if p.Head != nil {
		state := h.disk.state
		state.Pending = &pendingHead{*p.Head, refsDigest(all)}
		if err := h.disk.file.write(h.dir, state); err != nil {
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

// setOwn replaces the mirror's own refs and leaves all others as they are. The refs must be
// packed.
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

// reread makes known to readers what is on disk after a change has failed.
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

// publish makes the state known to readers and, if the stamp is new, the listing.
func (h *held) publish(l git.Listing, stamp string) {
	h.setSnapshot(h.disk.publish(h.opts, h.dir, h.Snapshot(), l, stamp))
}

// publish returns a snapshot of the state and of the listing with that stamp. If the stamp is
// not new, the listing is not used, and the digest of its refs, which takes a while for
// thousands of them, is that of the old snapshot.
func (d *disk) publish(opts *Options, dir string, old *Snapshot, l git.Listing, stamp string) *Snapshot {
	snap := &Snapshot{stamp: stamp}
	same := old != nil && stamp == d.stamp
	if same {
		snap.Listing, snap.Retained = old.Listing, old.Retained
	} else {
		snap.Head = l.Head
		snap.Refs, d.own = refs.Separate(l.Refs)
		n := len(d.own)
		d.own = slices.DeleteFunc(d.own, func(ref git.Ref) bool { return git.IsHold(ref.Name) })
		d.held = len(d.own) < n
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
		snap.changed = refsChangedAt(dir)
	}
	return snap.withState(&d.state)
}

func (h *held) state() stateFile          { return h.disk.state }
func (h *held) own() []git.Ref            { return h.disk.own }
func (h *held) packs() *packsOnDisk       { return &h.disk.packs }
func (h *held) refused() refusedIDs       { return h.disk.refused }
func (h *held) setRefused(ids refusedIDs) { h.disk.refused = ids }

// update changes the state, on disk and then for readers.
func (h *held) update(change func(*stateFile)) error {
	next := h.disk.state
	change(&next)
	if err := h.disk.file.write(h.dir, next); err != nil {
		return err
	}
	h.disk.state = next
	h.setSnapshot(h.Snapshot().withState(&next))
	return nil
}

// recordFailure records why a pull failed: for readers, and on disk if that has changed.
func (h *held) recordFailure(reason error) error {
	next := h.disk.state
	next.fail(reason.Error(), time.Now())
	h.setSnapshot(h.Snapshot().withState(&next))
	if next.Outcome == h.disk.state.Outcome && next.LastError == h.disk.state.LastError {
		return nil
	}
	h.disk.state = next
	return h.disk.file.write(h.dir, next)
}

// recordCheck records what a check of all objects has found; damage is nil for none.
func (h *held) recordCheck(damage error, warnings git.Warnings, now time.Time) error {
	if damage != nil && h.health.knownDamage() == nil {
		h.store.counts.damaged.Add(1)
	}
	h.health.record(damage, now)
	return h.update(func(s *stateFile) {
		s.setCheck(damage, now)
		s.Warnings = warnings
	})
}
