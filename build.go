package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"time"

	"github.com/reconquest/sould/internal/git"
)

// create builds a mirror that does not exist yet.
func (j *pullJob) create(ctx context.Context, src source) (Pulled, error) {
	if err := j.ms.vacant(j.req.Name); err != nil {
		return Pulled{}, err
	}
	origin, err := j.origin(Origin{})
	if err != nil {
		return Pulled{}, err
	}
	if err := j.ms.stillWanted(j.req.Name, j.ms.wanted(j.req.Name)); err != nil {
		return Pulled{}, err
	}
	listing, err := j.list(ctx, src, origin)
	if err != nil {
		return Pulled{}, err
	}
	if err := j.ms.storage.Clear(j.req.Name); err != nil {
		return Pulled{}, err
	}
	if t, err := j.ms.storage.Tombstone(j.req.Name); err == nil {
		j.buried = t
	}
	pulled, err := j.build(ctx, src, origin, listing, nil)
	if pulled.Snapshot == nil {
		return pulled, err
	}
	return pulled, cmp.Or(j.ms.storage.Revive(j.req.Name), err) // beside a mirror the tombstone says nothing
}

// build makes a mirror aside and moves it into place when it is complete. What the old
// one has that the source has not, if there is an old one, is kept.
func (j *pullJob) build(ctx context.Context, src source, origin Origin, listing git.Listing, old *remains) (Pulled, error) {
	if _, err := old.plan(listing, j.set.Refs, j.req.Accept); err != nil {
		return Pulled{}, err
	}
	j.ms.turns.clear(j.req.Name) // of who works on what it replaces
	if old != nil && old.damaged {
		j.ms.log.Info("a damaged mirror is built anew"+src.of(), "mirror", j.req.Name)
	}
	staging, err := j.ms.storage.Staging()
	if err != nil {
		return Pulled{}, err
	}
	defer func() { // it is still there if something went wrong, or if a mirror was replaced
		if err := os.RemoveAll(staging); err != nil {
			j.ms.log.Error("can't remove an unfinished mirror, or an old one", "directory", staging, errTree(err))
		}
	}()
	idLength := 0
	if len(listing.Refs) > 0 {
		idLength = len(listing.Refs[0].ID)
	}
	repo := j.set.git.Repo(staging)
	if err := repo.Init(ctx, idLength, origin.url); err != nil {
		return Pulled{}, err
	}
	p, err := j.bring(ctx, repo, git.Listing{}, src, origin, listing)
	if err == nil {
		err = p.peel(ctx, repo)
	}
	if err != nil {
		return Pulled{}, err
	}
	stay := old.stay(p.refused)
	if len(p.after.Refs)+len(stay) == 0 && len(p.refused) > 0 {
		return Pulled{}, newRefusedRefs(p.refused, 0) // it would seem as if the origin were empty
	}
	after := git.Listing{Refs: joined(p.after.Refs, stay), Head: p.after.Head}
	change, err := old.plan(after, j.set.Refs, j.req.Accept) // the source may have changed meanwhile
	if err != nil {
		return Pulled{}, err
	}
	refs, spare := p.after.Refs, false
	if old != nil {
		saved, whole := j.salvage(ctx, repo, old, change, stay)
		if _, err := repo.Peel(ctx, saved); err != nil {
			return Pulled{}, err
		}
		refs, spare = joined(refs, saved), !whole
	}
	j.progress.say("writing refs")
	if err := repo.WriteRefs(refs); err != nil {
		return Pulled{}, err
	}
	head := p.after.Head
	if len(stay) > 0 {
		head = chooseHead(old.content.Head, p.origin, refs)
	}
	if err := repo.WriteHead(head); err != nil {
		return Pulled{}, err
	}
	m := &Mirror{Name: j.req.Name, Dir: staging, settled: true, refused: refusedOf(j.set.git, p.refused)}
	if old != nil {
		m.state.Origin, m.state.Formers = old.state.Origin, old.state.Formers
		m.state.Wanted, m.state.Accepted, m.state.Removed = old.state.Wanted, old.state.Accepted, old.state.Removed
		m.state.Checked, m.state.CheckError = old.state.Checked, old.state.CheckError
		m.state.Mended = old.state.Mended
		if old.damaged {
			m.state.Mended = time.Now().Truncate(time.Second)
		}
		m.mending, m.whole = old.mending, old.whole
	} else {
		m.state.Removed = j.buried.At
		if t := j.buried; t.Origin != "" && t.Origin != origin.url {
			m.state.addFormer(t.Origin)
		}
	}
	src.note(&m.state, origin, j.asked)
	j.noteWishes(&m.state)
	p.note(&m.state)
	if err := m.state.write(staging); err != nil {
		return Pulled{}, err
	}
	m.publish(j.set, git.Listing{Refs: refs, Head: head}, repo.Stamp())
	if m, err = j.ms.install(j.req.Name, staging, m, spare); err != nil {
		return Pulled{}, err
	}
	return Pulled{m.Snapshot(), change.changed()}, p.refusal()
}

// otherFormat reports whether the source's object ids are of another kind than
// those that the mirror can hold. One that is empty and keeps nothing can be built anew:
// from an empty origin it could not tell.
func (j *pullJob) otherFormat(ctx context.Context, repo git.Repo, now *Snapshot, listing git.Listing) (bool, error) {
	if len(listing.Refs) == 0 {
		return false, nil
	}
	theirs := len(listing.Refs[0].ID)
	if now.Empty() && len(now.Kept) == 0 {
		ours, err := repo.IDLength(ctx)
		return err == nil && ours != theirs, err
	}
	if len(now.Refs) > 0 && len(now.Refs[0].ID) != theirs || len(now.Kept) > 0 && len(now.Kept[0].ID) != theirs {
		return false, errors.New("the origin has changed its object format (SHA-1, SHA-256): remove the mirror, with DELETE or by its directory, and POST again")
	}
	return false, nil
}
