package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/refs"
)

// create builds a mirror that does not exist yet.
func (j *pullJob) create(ctx context.Context, src source) (Pulled, error) {
	if err := j.ms.vacant(j.req.Name); err != nil {
		return Pulled{}, err
	}
	from, err := j.origin(origin.URL{})
	if err != nil {
		return Pulled{}, err
	}
	if err := j.ms.stillWanted(j.req.Name, j.ms.wanted(j.req.Name)); err != nil {
		return Pulled{}, err
	}
	listing, err := j.list(ctx, src, from)
	if err != nil {
		return Pulled{}, err
	}
	if err := j.ms.storage.ClearPlace(j.req.Name); err != nil {
		return Pulled{}, err
	}
	if t, err := j.ms.storage.Tombstone(j.req.Name); err == nil {
		j.buried = t
	}
	pulled, err := j.build(ctx, src, from, listing, nil)
	if err != nil {
		return pulled, err
	}
	return pulled, j.ms.storage.RemoveTombstone(j.req.Name) // beside a mirror the tombstone says nothing
}

// build makes a mirror aside and moves it into place when it is complete. What the old
// one has that the source has not, if there is an old one, is kept.
func (j *pullJob) build(ctx context.Context, src source, from origin.URL, listing git.Listing, old *remains) (Pulled, error) {
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
			j.ms.log.Error("can't remove an unfinished mirror, or an old one", "directory", staging, "err", err)
		}
	}()
	idLength := 0
	if len(listing.Refs) > 0 {
		idLength = len(listing.Refs[0].ID)
	}
	repo := j.set.git.Repo(staging)
	if err := repo.Init(ctx, idLength, from.String()); err != nil {
		return Pulled{}, err
	}
	p, err := j.bring(ctx, repo, git.Listing{}, src, from, listing)
	if err == nil {
		err = peel(ctx, repo, &p)
	}
	if err != nil {
		return Pulled{}, err
	}
	change, err := old.plan(p.After, j.set.Refs, j.req.Accept) // the source may have changed meanwhile
	if err != nil {
		return Pulled{}, err
	}
	all, spare := p.After.Refs, false
	if old != nil {
		saved, whole := j.salvage(ctx, repo, old, change)
		if _, err := repo.Peel(ctx, saved); err != nil {
			return Pulled{}, err
		}
		all, spare = refs.Join(all, saved), !whole
	}
	j.progress.say("writing refs")
	if err := repo.WriteRefs(all); err != nil {
		return Pulled{}, err
	}
	if p.Head != nil {
		if err := repo.WriteHead(*p.Head); err != nil {
			return Pulled{}, err
		}
	}
	m := &Mirror{Name: j.req.Name, Dir: staging, settled: true}
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
		if t := j.buried; t.Origin != "" && t.Origin != from.String() {
			m.state.addFormer(t.Origin)
		}
	}
	src.note(&m.state, from, j.asked)
	j.noteWishes(&m.state)
	if err := m.state.write(staging); err != nil {
		return Pulled{}, err
	}
	m.publish(j.set, git.Listing{Refs: all, Head: p.After.Head}, repo.Stamp())
	if m, err = j.ms.install(j.req.Name, staging, m, spare); err != nil {
		return Pulled{}, err
	}
	return Pulled{m.Snapshot(), change.Changed()}, nil
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
