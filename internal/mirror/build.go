package mirror

import (
	"cmp"
	"context"
	"errors"
	"os"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/keylock"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/storage"
)

// create builds a mirror that does not exist yet.
func (j *pullJob) create(ctx context.Context, lock *keylock.Lock[storage.Name], src Source) (Result, error) {
	if j.req.Own {
		return Result{}, ErrUnknown
	}
	if err := j.checkNameFree(j.req.Name); err != nil {
		return Result{}, err
	}
	from, err := j.chooseOrigin(origin.URL{})
	if err != nil {
		return Result{}, err
	}
	wanted, _ := j.wanted(j.req.Name)
	if err := j.checkWanted(j.req.Name, later(wanted, j.req.read)); err != nil {
		return Result{}, err
	}
	j.startGrowing(src)
	listing, err := j.list(ctx, src, from)
	if err != nil {
		return Result{}, err
	}
	if err := j.dir.ClearPlace(j.req.Name); err != nil {
		return Result{}, err
	}
	result, err := j.build(ctx, lock, src, from, listing, nil)
	if result.Snapshot == nil {
		return result, err // another source may do
	}
	j.endGrowing(result, err)
	return result, cmp.Or(j.dir.RemoveTombstone(j.req.Name), err)
}

// build makes a mirror in a staging directory and moves it to its place when it is complete. If
// there is an old mirror, what only that has is carried over.
func (j *pullJob) build(
	ctx context.Context, lock *keylock.Lock[storage.Name], src Source, from origin.URL, listing git.Listing, old *survivors,
) (Result, error) {
	if _, err := old.plan(listing, j.opts.Refs, j.req.Accept); err != nil {
		return Result{}, err
	}
	lock.Preempt() // end work on the old mirror
	if old != nil && old.damaged {
		j.log.Info("a damaged mirror is rebuilt"+src.fromText(), "mirror", j.req.Name)
	}
	staging, err := j.dir.Staging()
	if err != nil {
		return Result{}, err
	}
	defer func() { // it is still there if the mirror was not installed
		if err := os.RemoveAll(staging); err != nil {
			j.log.Error("can't remove an unfinished mirror", "directory", staging, "err", err)
		}
	}()
	repo, b, err := j.stage(ctx, lock, staging, src, from, listing)
	if err != nil {
		return Result{}, err
	}
	stay := old.unchanged(b.refused)
	if len(b.After.Refs)+len(stay) == 0 && len(b.refused) > 0 {
		return Result{}, newRefusedRefs(b.refused, 0) // an empty mirror would mean an empty origin
	}
	after := git.Listing{Refs: refs.Join(b.After.Refs, stay), Head: b.After.Head}
	change, err := old.plan(after, j.opts.Refs, j.req.Accept) // again: the source may have changed
	if err != nil {
		return Result{}, err
	}
	all, expected, whole := b.After.Refs, storage.Identity{}, true
	if old != nil {
		var saved []git.Ref
		saved, whole = j.recoverRefs(ctx, repo, old, change, stay)
		if _, err := repo.Peel(ctx, saved); err != nil {
			return Result{}, err
		}
		all, expected = refs.Join(all, saved), old.identity
	}
	if len(stay) > 0 {
		b.After.Head = refs.ChooseHead(old.content.Head, b.head, all)
	}
	m, err := j.finish(repo, b, all, old, src, from)
	if err == nil {
		err = j.place(staging, m, expected, func(replaced string) (spare bool) {
			return !whole || old.changedIn(j.opts.Git.Repo(replaced))
		})
	}
	if err != nil {
		return Result{}, err
	}
	if old != nil && old.damaged {
		j.counts.rebuilt.Add(1)
	}
	j.changed(m, nil, m.Snapshot())
	return Result{m.Snapshot(), change.Changed()}, b.refusal()
}

// stage makes a repository with all objects that the source's refs need.
func (j *pullJob) stage(
	ctx context.Context, lock *keylock.Lock[storage.Name], dir string, src Source, from origin.URL, listing git.Listing,
) (git.Repo, fetchedPlan, error) {
	idLength := 0
	if len(listing.Refs) > 0 {
		idLength = len(listing.Refs[0].ID)
	}
	repo := j.opts.Git.Repo(dir)
	if err := repo.Init(ctx, idLength, from.String()); err != nil {
		return repo, fetchedPlan{}, err
	}
	j.growing.list(repo, src, listing, j.opts.Refs)
	b, err := j.fetchMissing(ctx, lock, repo, git.Listing{}, src, from, listing)
	if err == nil {
		err = peel(ctx, repo, &b.Plan)
	}
	return repo, b, err
}

// finish writes the refs and the state of a staged repository. It is a complete mirror then,
// which only has to be moved to its place.
func (j *pullJob) finish(repo git.Repo, b fetchedPlan, all []git.Ref, old *survivors, src Source, from origin.URL) (*Mirror, error) {
	j.progress.say("writing refs")
	if err := repo.WriteRefs(all); err != nil {
		return nil, err
	}
	if err := repo.WriteHead(b.After.Head); err != nil {
		return nil, err
	}
	m := &Mirror{
		Name: j.req.Name, dir: repo.Dir, store: j.Store,
		disk: disk{packed: true, refused: newRefusedIDs(j.opts.Git, b.refused)},
	}
	state := j.successor(m, old, from)
	j.recordSource(&state, src, from, old != nil) // a new mirror shows no hook: its first POST may be one by hand
	b.recordIn(&state)
	packs, err := repo.Inventory()
	if err != nil {
		return nil, err
	}
	state.Whole = j.wholenessOf(packs)
	m.size.Store(packs.Size())
	if err := m.disk.file.write(repo.Dir, state); err != nil {
		return nil, err
	}
	m.disk.state = state
	if state.OnDemand {
		m.MarkRead(time.Now()) // those who wait for it are about to
	}
	m.refresh.pulled, m.refresh.looked = !j.looked.IsZero(), j.looked
	m.snapshot.Store(m.disk.publish(j.opts, repo.Dir, nil, git.Listing{Refs: all, Head: b.After.Head}, repo.Stamp()))
	return m, nil
}

// successor returns the state with which a new mirror m begins: that of the old mirror or, if
// there is none, what the tombstone of a removed one says.
func (j *pullJob) successor(m *Mirror, old *survivors, from origin.URL) stateFile {
	if old == nil {
		tombstone, err := j.dir.Tombstone(j.req.Name)
		if err != nil {
			tombstone = storage.Tombstone{} // none, or none that can be read
		}
		return stateAfterDelete(tombstone, from)
	}
	state := old.state.successor()
	if old.damaged {
		state.Rebuilt = time.Now().Truncate(time.Second)
	}
	if old.health != nil {
		m.health.inherit(old.health)
	}
	return state
}

// hasOtherFormat reports whether the mirror must be rebuilt because the source has another
// object format (SHA-1, SHA-256). That is possible if the mirror is empty and retains nothing:
// an empty origin does not show its format. For any other mirror it is an error.
func (h *held) hasOtherFormat(ctx context.Context, listing git.Listing) (bool, error) {
	if len(listing.Refs) == 0 {
		return false, nil
	}
	now, theirs := h.Snapshot(), len(listing.Refs[0].ID)
	if now.empty() && len(now.Retained) == 0 {
		ours, err := h.repo.IDLength(ctx)
		return err == nil && ours != theirs, err
	}
	if len(now.Refs) > 0 && len(now.Refs[0].ID) != theirs || len(now.Retained) > 0 && len(now.Retained[0].ID) != theirs {
		return false, errors.New("the origin has changed its object format (SHA-1, SHA-256): remove the mirror, with DELETE or by its directory, and POST again")
	}
	return false, nil
}
