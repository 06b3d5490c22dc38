package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/reconquest/sould/internal/git"
)

// pullRequest asks that a mirror be made what its origin is.
type pullRequest struct {
	Name            Name
	Origin          Origin // not Known: the mirror's own, and no new mirror
	Move            Origin // the origin that the mirror may have instead; not Known for none
	AcceptDeletions bool   // also if the origin has lost most of its refs
}

// pullVariant is what must be equal in two requests that share a pull.
type pullVariant struct {
	set          *settings // a reload changes what a pull does
	origin, move Origin
	accept       bool
}

func (r pullRequest) variant(set *settings) pullVariant {
	return pullVariant{set, r.Origin, r.Move, r.AcceptDeletions}
}

// Pulled is what a successful pull did.
type Pulled struct {
	Snapshot *Snapshot
	Changed  int // refs created, moved or deleted
}

// errClosing is why pulls end when the server shuts down.
var errClosing = errors.New("the server is shutting down")

// Pull makes a mirror what its origin is, or was at some moment after Pull was
// called. Equal requests share the work. If ctx ends first, the work goes on.
func (ms *Mirrors) Pull(ctx context.Context, set *settings, req pullRequest) (Pulled, error) {
	return ms.pulls.Do(ctx, req.Name, req.variant(set), func() (Pulled, error) { return ms.pull(set, req) })
}

// pull is the one run that carries out a request, and tells the log of it.
func (ms *Mirrors) pull(set *settings, req pullRequest) (Pulled, error) {
	job := &pullJob{ms: ms, set: set, req: req, left: set.FetchTimeout, progress: ms.begin(req.Name)}
	defer ms.end(req.Name)

	pulled, err := job.run()
	took := seconds(time.Since(job.progress.began))
	log := ms.log.With("mirror", req.Name, "seconds", took)
	switch {
	case errors.Is(err, errClosing):
		log.Info("pull ended by the shutdown")
	case err != nil:
		log.Error("can't pull", errTree(err))
	default:
		log.Info("pulled", "refs_changed", pulled.Changed,
			"branch", pulled.Snapshot.Head.Ref, "revision", pulled.Snapshot.Head.ID)
	}
	return pulled, err
}

// pullJob is one pull. The time that it has is spent on the origin alone: what
// it waits for a place to transfer objects does not count.
type pullJob struct {
	ms       *Mirrors
	set      *settings
	req      pullRequest
	left     time.Duration
	progress *progress
}

func (j *pullJob) run() (Pulled, error) {
	ctx := j.ms.life
	end, err := j.ms.turns.take(ctx, j.req.Name)
	if err != nil {
		return Pulled{}, err
	}
	defer end()
	m, err := j.ms.Get(j.set, j.req.Name)
	if errors.Is(err, errUnknownMirror) && j.req.Origin.Known() {
		return j.create(ctx)
	}
	if err != nil {
		return Pulled{}, err
	}
	pulled, err := j.update(ctx, m)
	if c := (*conflict)(nil); errors.Is(err, errClosing) || errors.As(err, &c) {
		return Pulled{}, err // says nothing about the origin
	}
	if err != nil {
		if replaced := m.same(); replaced != nil { // what is there now is another mirror
			return Pulled{}, errors.Join(replaced, err)
		}
		err = errors.Join(err, m.fail(err))
	}
	m.ended(ctx, j.set, err, j.req.Origin.Known())
	return pulled, err
}

// update pulls into a mirror that exists.
func (j *pullJob) update(ctx context.Context, m *Mirror) (Pulled, error) {
	repo := j.set.git.Repo(m.Dir)
	if err := m.settle(ctx, j.set, repo); err != nil {
		return Pulled{}, err
	}
	now := m.Snapshot()
	if err := sameOrigin(now.Origin, j.req); err != nil {
		return Pulled{}, err
	}
	origin := now.Origin
	if j.req.Origin.Known() {
		origin = j.req.Origin.orCredentialsOf(now.Origin)
	}
	switch {
	case !origin.Known():
		return Pulled{}, errors.New("the mirror has no origin; the first POST sets it")
	case origin.local && !j.set.unsecure:
		return Pulled{}, fmt.Errorf("the mirror's origin %s is a local path, which only sould --unsecure reads", origin)
	}
	listing, err := j.list(ctx, origin)
	if err != nil {
		return Pulled{}, err
	}
	if rebuild, err := j.otherFormat(ctx, repo, now, listing); err != nil {
		return Pulled{}, err
	} else if rebuild {
		return j.build(ctx, origin, listing)
	}
	p, err := j.bring(ctx, repo, now.Listing, origin, listing)
	if err != nil {
		return Pulled{}, err
	}
	j.progress.say("writing refs")
	if now.Origin.url != origin.url {
		if err := repo.SetOrigin(ctx, origin.url); err != nil {
			return Pulled{}, errors.Join(err, repo.Sweep())
		}
	}
	state := m.state
	state.succeeded(origin)
	if err := m.apply(ctx, j.set, repo, p, state); err != nil {
		return Pulled{}, err
	}
	if !p.nothing() {
		j.ms.changed(j.set, m, now, m.Snapshot())
	}
	return Pulled{m.Snapshot(), p.changed()}, nil
}

// otherFormat reports whether the origin's object ids are of another kind than
// those that the mirror can hold. An empty mirror can be built anew: from an
// empty origin it could not tell.
func (j *pullJob) otherFormat(ctx context.Context, repo git.Repo, now *Snapshot, listing git.Listing) (bool, error) {
	if len(listing.Refs) == 0 {
		return false, nil
	}
	theirs, ours := len(listing.Refs[0].ID), 0
	if now.Empty() {
		var err error
		if ours, err = repo.IDLength(ctx); err != nil {
			return false, err
		}
		return ours != theirs, nil
	}
	if len(now.Refs) > 0 && len(now.Refs[0].ID) != theirs {
		return false, errors.New("the origin has changed its object format (SHA-1, SHA-256): remove the mirror's directory and POST again")
	}
	return false, nil
}

// create builds a mirror that does not exist yet.
func (j *pullJob) create(ctx context.Context) (Pulled, error) {
	if err := j.ms.vacant(j.req.Name); err != nil {
		return Pulled{}, err
	}
	listing, err := j.list(ctx, j.req.Origin)
	if err != nil {
		return Pulled{}, err
	}
	if err := j.ms.storage.Clear(j.req.Name); err != nil {
		return Pulled{}, &conflict{err.Error()}
	}
	return j.build(ctx, j.req.Origin, listing)
}

// build makes a mirror aside and moves it into place when it is complete.
func (j *pullJob) build(ctx context.Context, origin Origin, listing git.Listing) (Pulled, error) {
	staging, err := j.ms.storage.Staging()
	if err != nil {
		return Pulled{}, err
	}
	defer func() { // it is still there only if something went wrong
		if err := os.RemoveAll(staging); err != nil {
			j.ms.log.Error("can't remove an unfinished mirror", "directory", staging, errTree(err))
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
	p, err := j.bring(ctx, repo, git.Listing{}, origin, listing)
	if err != nil {
		return Pulled{}, err
	}
	j.progress.say("writing refs")
	if err := repo.WriteRefs(p.after.Refs); err != nil {
		return Pulled{}, err
	}
	if p.head != nil {
		if err := repo.WriteHead(*p.head); err != nil {
			return Pulled{}, err
		}
	}
	m := &Mirror{Name: j.req.Name, Dir: staging, settled: true}
	m.state.succeeded(origin)
	if err := m.state.write(staging); err != nil {
		return Pulled{}, err
	}
	m.publish(j.set, p.after, repo.Stamp())
	if m, err = j.ms.install(j.req.Name, staging, m); err != nil {
		return Pulled{}, err
	}
	return Pulled{m.Snapshot(), p.changed()}, nil
}

// attempts is how often a pull looks at an origin that is pushed to while it is
// read.
const attempts = 3

// bring fetches what a mirror needs to become what its origin is, and returns
// what then is to be done.
func (j *pullJob) bring(
	ctx context.Context, repo git.Repo, now git.Listing, origin Origin, listing git.Listing,
) (plan, error) {
	for attempt := 1; ; attempt++ {
		p, err := makePlan(now, listing, j.set.Refs, j.req.AcceptDeletions)
		if err != nil {
			return p, err
		}
		if len(p.fetch) > 0 {
			err = j.fetch(ctx, repo, origin, p.fetch)
		}
		if err == nil {
			return p, peel(ctx, repo, p)
		}
		if !errors.Is(err, git.ErrMoved) || attempt == attempts {
			return plan{}, fmt.Errorf("can't fetch: %w", err)
		}
		if listing, err = j.list(ctx, origin); err != nil {
			return plan{}, err
		}
	}
}

// peel looks up what the plan's tags lead to.
func peel(ctx context.Context, repo git.Repo, p plan) error {
	missing, err := repo.Peel(ctx, p.after.Refs)
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("the origin did not send what %s names", p.after.Refs[missing[0]].Name)
	}
	return err
}

// list asks the origin for its refs.
func (j *pullJob) list(ctx context.Context, origin Origin) (git.Listing, error) {
	j.progress.say("asking the origin for its refs")
	reason := fmt.Errorf("the origin did not answer within %s", min(j.set.ListTimeout, j.left))
	var listing git.Listing
	err := j.spend(ctx, j.set.ListTimeout, reason, func(ctx context.Context) (err error) {
		listing, err = j.set.git.List(ctx, origin.Remote())
		return err
	})
	if err != nil {
		return listing, fmt.Errorf("can't list refs: %w", err)
	}
	return listing, nil
}

// fetch transfers objects, when there is a place for it. A failed transfer
// leaves nothing behind.
func (j *pullJob) fetch(ctx context.Context, repo git.Repo, origin Origin, ids []string) error {
	j.progress.say("waiting for other transfers")
	if err := j.ms.places.enter(ctx, j.req.Name.String()); err != nil {
		return err
	}
	defer j.ms.places.leave()
	j.progress.say("fetching")
	reason := fmt.Errorf("the transfer was not over within %s", j.set.FetchTimeout)
	err := j.spend(ctx, j.left, reason, func(ctx context.Context) error {
		return repo.Fetch(ctx, origin.Remote(), ids, j.progress.say)
	})
	if err != nil {
		err = errors.Join(err, repo.Sweep())
	}
	return err
}

// spend runs work within a limit and within what is left of the job's time.
func (j *pullJob) spend(ctx context.Context, limit time.Duration, reason error, work func(context.Context) error) error {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, min(limit, j.left), reason)
	defer cancel()
	defer func() { j.left -= time.Since(began) }()
	return work(ctx)
}

// succeeded notes a pull from an origin that is over now.
func (s *stateFile) succeeded(origin Origin) {
	s.setOrigin(origin)
	s.Outcome, s.Pulled, s.LastError = OutcomeSuccess, time.Now().Truncate(time.Second), ""
}

// errTree is an error as an attribute of a log record: a tree below its line.
func errTree(err error) slog.Attr { return slog.String(treeKey, tree(err)) }
