package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/reconquest/sould/internal/coalesce"
	"github.com/reconquest/sould/internal/git"
)

// pullRequest asks that a mirror be made what its origin is.
type pullRequest struct {
	Name       Name
	Origin     Origin     // not Known: the mirror's own, and no new mirror
	Move       Origin     // the origin that the mirror may have instead; not Known for none
	Accept     acceptance // also if the origin has lost most of its refs
	OriginOnly bool       // another server asks: peers are not asked in turn
	Wanted     time.Time  // when somebody asked for it; zero if nobody has
	Stale      bool       // the origin is known to be down: what peers have will do
	Check      bool       // the mirror may be damaged: look first, and build it anew if it is
}

// pullVariant is what must be equal in two requests that share a pull.
type pullVariant struct {
	set          *settings // a reload changes what a pull does
	origin, move Origin
	accept       acceptance
	stale, check bool
}

func (r pullRequest) variant(set *settings) pullVariant {
	return pullVariant{set, r.Origin, r.Move, r.Accept, r.Stale, r.Check}
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
//
// A request of another server has runs of its own: it never waits for one that is
// itself asking other servers.
func (ms *Mirrors) Pull(ctx context.Context, set *settings, req pullRequest) (Pulled, error) {
	run, err := ms.enter(set, req)
	if err != nil {
		return Pulled{}, err
	}
	return run.Wait(ctx)
}

// enter is Pull without the waiting. The error is errBusy.
func (ms *Mirrors) enter(set *settings, req pullRequest) (*coalesce.Run[pullVariant, Pulled], error) {
	runs := &ms.pulls
	if req.OriginOnly {
		runs = &ms.forPeers
	}
	run, err := runs.Enter(req.Name, req.variant(set), func() (Pulled, error) { return ms.pull(set, req) })
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBusy, err)
	}
	return run, nil
}

// pull is the one run that carries out a request, and tells the log of it.
func (ms *Mirrors) pull(set *settings, req pullRequest) (Pulled, error) {
	progress, end := ms.begin(req.Name)
	defer end()
	job := &pullJob{ms: ms, set: set, req: req, left: set.FetchTimeout, progress: progress}

	pulled, err := job.run(ms.life)
	log := ms.log.With("mirror", req.Name, "seconds", seconds(time.Since(progress.began)))
	switch {
	case errors.Is(err, errClosing):
		log.Info("pull ended by the shutdown")
	case err != nil:
		log.Error("can't pull", errTree(err))
	default:
		if from := pulled.Snapshot.From; from != "" {
			log = log.With("from", from)
		}
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
	asked    time.Time // when a source was last asked for its refs
	lost     time.Time // when peers began to be asked
	had      time.Time // when the mirror was last pulled before that
	progress *progress
	buried   tombstone         // of the mirror that had the name before; zero for none
	refused  map[string]string // why, by the ids of objects that sources have; see refusedIDs
	warnings git.Warnings      // of what was fetched
}

// run pulls from the origin or, if that cannot be reached, from a peer, and notes how
// it ended.
func (j *pullJob) run(ctx context.Context) (pulled Pulled, err error) {
	if j.req.Stale {
		err = &unreachable{err: errors.New("the origin was down a moment ago")}
	} else {
		pulled, err = j.from(ctx, source{})
	}
	if down := (*unreachable)(nil); errors.As(err, &down) && !j.req.OriginOnly {
		pulled, err = j.fromPeers(ctx, err)
	}
	if c := (*conflict)(nil); errors.Is(err, errClosing) || errors.As(err, &c) {
		return Pulled{}, err // says nothing about the origin
	}
	return pulled, j.note(ctx, err)
}

// note notes how the pull ended, and returns its error with those of noting it.
func (j *pullJob) note(ctx context.Context, err error) error {
	end, turnErr := j.ms.turns.take(ctx, j.req.Name)
	if turnErr != nil {
		return errors.Join(err, turnErr)
	}
	defer end()
	m, getErr := j.ms.Get(j.set, j.req.Name)
	if getErr != nil {
		return err // it has none, or cannot be read, which the error says
	}
	if err != nil {
		err = errors.Join(err, m.fail(err))
	}
	if err == nil || !j.req.OriginOnly { // else two servers could keep each other from leaving it alone
		m.ended(ctx, j.set, err, j.req.Origin.Known())
	}
	return err
}

// from pulls from one source, in the mirror's turn.
func (j *pullJob) from(ctx context.Context, src source) (Pulled, error) {
	end, err := j.ms.turns.take(ctx, j.req.Name)
	if err != nil {
		return Pulled{}, err
	}
	defer end()
	m, err := j.ms.Get(j.set, j.req.Name)
	switch {
	case errors.Is(err, errUnknownMirror) && j.req.Origin.Known():
		return j.create(ctx, src)
	case errors.Is(err, errUnknownMirror):
		return Pulled{}, err
	case err != nil:
		return j.replace(ctx, src, err)
	}
	if src.peer != nil && m.knownDamage() == nil {
		switch now := m.Snapshot(); {
		case j.overtaken(now):
			return Pulled{Snapshot: now}, errOvertaken
		case !src.peer.fresh && !src.peer.better(now, false):
			return Pulled{}, errors.New("it has nothing newer any more")
		}
	}
	pulled, err := j.update(ctx, m, src)
	if err != nil {
		if replaced := m.same(); replaced != nil { // what is there now is another mirror
			return Pulled{}, errors.Join(replaced, err)
		}
	}
	if j.req.Check || m.suspicious(err, time.Now()) {
		j.ms.turns.clear(j.req.Name)
		return j.heal(ctx, m, src, pulled, err)
	}
	return pulled, err
}

// update pulls into a mirror that exists.
func (j *pullJob) update(ctx context.Context, m *Mirror, src source) (Pulled, error) {
	repo := j.set.git.Repo(m.Dir)
	if err := j.ms.settle(ctx, j.set, m, repo); err != nil {
		return Pulled{}, err
	}
	if err := j.ms.reclaim(j.set, m, time.Now()); err != nil {
		return Pulled{}, err
	}
	now := m.Snapshot()
	origin, err := j.origin(now.Origin)
	if err != nil {
		return Pulled{}, err
	}
	listing, err := j.list(ctx, src, origin)
	if err != nil {
		return Pulled{}, err
	}
	if rebuild, err := j.otherFormat(ctx, repo, now, listing); err != nil {
		return Pulled{}, err
	} else if rebuild {
		return j.build(ctx, src, origin, listing, &remains{dir: m.Dir, state: m.state})
	}
	j.refused = maps.Clone(m.refused.known(j.set.git))
	p, err := j.bring(ctx, repo, now.Listing, src, origin, listing)
	if err != nil {
		return Pulled{}, err
	}
	m.refused = refusedOf(j.set.git, p.refused)
	own, err := m.weigh(ctx, j.set, repo, &p)
	if err != nil {
		return Pulled{}, err
	}
	j.progress.say("writing refs")
	if now.Origin.url != origin.url {
		if err := repo.SetOrigin(ctx, origin.url); err != nil {
			return Pulled{}, errors.Join(err, repo.Sweep())
		}
	}
	if !p.nothing() {
		j.ms.turns.clear(j.req.Name)
	}
	state := m.state
	src.note(&state, origin, j.asked)
	j.noteWishes(&state)
	p.note(&state)
	if err := m.apply(ctx, j.set, repo, p, own, state); err != nil {
		return Pulled{}, err
	}
	if !p.nothing() {
		j.ms.changed(j.set, m, now, m.Snapshot())
	}
	return Pulled{m.Snapshot(), p.changed()}, p.refusal()
}

// origin is where the mirror is to be pulled from, by what is stored and what the
// request says.
func (j *pullJob) origin(stored Origin) (Origin, error) {
	if err := sameOrigin(stored, j.req); err != nil {
		return Origin{}, err
	}
	origin := stored
	if j.req.Origin.Known() {
		origin = j.req.Origin.orCredentialsOf(stored)
	}
	if !origin.Known() {
		return origin, errors.New("the mirror has no origin; the first POST sets it")
	}
	if err := j.set.allowsOrigin(origin); err != nil {
		return origin, fmt.Errorf("the mirror is served, but not updated: %w", err)
	}
	return origin, nil
}

// attempts is how often a pull looks at an origin that is pushed to while it is
// read.
const attempts = 3

// bring fetches what a mirror needs to become what its origin is, and returns
// what then is to be done. What its refs lead to is still to be looked up (peel).
func (j *pullJob) bring(
	ctx context.Context, repo git.Repo, now git.Listing, src source, origin Origin, listing git.Listing,
) (plan, error) {
	for attempt := 1; ; attempt++ {
		p, err := j.plan(now, listing)
		if err != nil {
			return p, err
		}
		if len(p.fetch) > 0 {
			err = j.fetch(ctx, repo, src, origin, p.fetch)
		}
		if err == nil && len(p.fetch) > 0 { // of which some may be refused
			p, err = j.plan(now, listing)
		}
		if err == nil {
			return p, nil
		}
		if !errors.Is(err, git.ErrMoved) || attempt == attempts {
			return plan{}, err
		}
		if listing, err = j.list(ctx, src, origin); err != nil {
			return plan{}, err
		}
	}
}

// weigh looks up what is to be kept of the refs that a plan takes away, and what those lead
// to that it writes. Of one branch that has moved forward, as after a usual push, the first
// tells both, unless it names an annotated tag: a push waits for each process.
func (m *Mirror) weigh(ctx context.Context, set *settings, repo git.Repo, p *plan) (own []git.Ref, err error) {
	if p.nothing() {
		return m.own, nil
	}
	own, forward, err := m.kept(ctx, set, repo, *p)
	if err != nil {
		return nil, err
	}
	for i := range p.after.Refs {
		if ref := &p.after.Refs[i]; ref.Name == forward && ref.IsCommit() && !slices.Contains(p.tags, forward) {
			ref.Peeled = ref.ID
		}
	}
	return own, p.peel(ctx, repo)
}

// peel looks up what the refs lead to that the plan writes. Branches and a detached HEAD
// must be commits: git takes a repository where they are not for broken.
func (p *plan) peel(ctx context.Context, repo git.Repo) error {
	refs := p.after.Refs
	if p.head != nil && p.head.Detached() {
		refs = append(slices.Clip(refs), git.Ref{Name: git.HeadName, ID: p.head.ID})
	}
	missing, err := repo.Peel(ctx, refs)
	p.after.Refs = refs[:len(p.after.Refs)]
	switch {
	case err != nil || len(missing) == 0:
		return err
	case refs[missing[0]].IsCommit():
		return fmt.Errorf("the origin's %s names no commit, as it must; nothing was changed", refs[missing[0]].Name)
	default:
		return fmt.Errorf("the origin did not send what %s names", refs[missing[0]].Name)
	}
}

// list asks a source for its refs.
func (j *pullJob) list(ctx context.Context, src source, origin Origin) (git.Listing, error) {
	if err := j.ms.lists.enter(ctx, j.req.Name.String()); err != nil {
		return git.Listing{}, err
	}
	defer j.ms.lists.leave()
	j.progress.say("asking " + src.String() + " for its refs")
	j.asked = time.Now()
	reason := fmt.Errorf("%s did not answer within %s", src, min(j.set.ListTimeout, j.left))
	var listing git.Listing
	err := j.spend(ctx, j.set.ListTimeout, reason, func(ctx context.Context) (err error) {
		listing, err = j.set.git.List(ctx, src.remote(j, origin))
		return err
	})
	if err != nil {
		return listing, &unreachable{err: fmt.Errorf("can't list refs%s: %w", src.of(), err)}
	}
	return listing, src.keepsItsWord(listing, j.set.Refs)
}

// fetch transfers objects, when there is a place for it. A failed transfer
// leaves nothing behind.
func (j *pullJob) fetch(ctx context.Context, repo git.Repo, src source, origin Origin, ids []string) error {
	j.progress.say("waiting for other transfers")
	if err := j.ms.places.enter(ctx, j.req.Name.String()); err != nil {
		return err
	}
	defer j.ms.places.leave()
	j.ms.turns.clear(j.req.Name)
	j.progress.say("fetching" + src.of())
	reason := fmt.Errorf("the transfer was not over within %s", j.set.FetchTimeout)
	err := j.spend(ctx, j.left, reason, func(ctx context.Context) error {
		fetched, err := repo.Fetch(ctx, src.remote(j, origin), ids, j.progress.say)
		j.fetched(fetched)
		return err
	})
	if err != nil {
		err = &unreachable{fmt.Errorf("can't fetch%s: %w", src.of(), err), true}
		return errors.Join(err, repo.Sweep())
	}
	return nil
}

// spend runs work within a limit and within what is left of the job's time.
func (j *pullJob) spend(ctx context.Context, limit time.Duration, reason error, work func(context.Context) error) error {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, min(limit, j.left), reason)
	defer cancel()
	defer func() { j.left -= time.Since(began) }()
	return work(ctx)
}
