package mirror

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/reconquest/sould/internal/coalesce"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/units"
)

// Request asks that a mirror be made what its origin is.
type Request struct {
	Name       storage.Name
	Origin     origin.URL      // not Known: the mirror's own, and no new mirror
	Move       origin.URL      // the origin that the mirror may have instead; not Known for none
	Accept     refs.Acceptance // also if the origin has lost most of its refs
	OriginOnly bool            // another server asks: no replica is asked in turn
	Wanted     time.Time       // when somebody asked for it; zero if nobody has
	OriginDown bool            // that is known: what replicas have will do
	Check      bool            // the mirror may be damaged: look first, and rebuild it if it is
}

// variant is what must be equal in two requests that share a pull.
type variant struct {
	opts              *Options // a reload changes what a pull does
	origin, move      origin.URL
	accept            refs.Acceptance
	originDown, check bool
}

func (r Request) variant(opts *Options) variant {
	return variant{opts, r.Origin, r.Move, r.Accept, r.OriginDown, r.Check}
}

// Result is what a pull did. One that has failed can have brought something all the same:
// then there is a Snapshot beside the error.
type Result struct {
	Snapshot *Snapshot
	Changed  int // refs created, moved or deleted
}

// Run is a pull that has begun, or is about to. It owns the reservation of its name.
type Run struct {
	run     *coalesce.Run[variant, Result]
	release func()
}

// Wait waits for the pull's end, and gives up the reservation. If ctx ends first, the pull goes
// on. It must be called once.
func (r Run) Wait(ctx context.Context) (Result, error) {
	defer r.release()
	return r.run.Wait(ctx)
}

// Begin begins to make a mirror what its origin is, or is at some moment after Begin was
// called, and reserves its name for that. The error is a *storage.Conflict if that cannot be,
// or limiter.ErrBusy. Equal requests share the work.
//
// A request of another server has runs of its own: it never waits for one that is
// itself asking other servers.
func (s *Store) Begin(req Request) (Run, error) {
	release, err := s.reserve(req)
	if err != nil {
		return Run{}, err
	}
	run, err := s.enter(req)
	if err != nil {
		release()
		return Run{}, err
	}
	return Run{run, release}, nil
}

// Pull is Begin for a mirror that is there, with the waiting. If ctx ends first, the work goes
// on.
func (s *Store) Pull(ctx context.Context, req Request) (Result, error) {
	run, err := s.enter(req)
	if err != nil {
		return Result{}, err
	}
	return run.Wait(ctx)
}

func (s *Store) enter(req Request) (*coalesce.Run[variant, Result], error) {
	runs := &s.pulls
	if req.OriginOnly {
		runs = &s.forPeers
	}
	opts := s.options.Load()
	run, err := runs.Queue(req.Name, req.variant(opts), func() (Result, error) { return s.pull(opts, req) })
	if err != nil {
		return nil, fmt.Errorf("%w: %w", limiter.ErrBusy, err)
	}
	return run, nil
}

// pull is the one run that carries out a request, and tells the log of it.
func (s *Store) pull(opts *Options, req Request) (Result, error) {
	progress, end := s.begin(req.Name)
	defer end()
	job := &pullJob{Store: s, opts: opts, req: req, left: opts.FetchTimeout, progress: progress}

	result, err := job.run(s.life)
	log := s.log.With("mirror", req.Name, "seconds", units.FormatSeconds(time.Since(progress.Began)))
	switch {
	case errors.Is(err, ErrClosing):
		log.Info("pull ended by the shutdown")
	case err != nil:
		log.Error("can't pull", "err", err)
	default:
		if from := result.Snapshot.From; from != "" {
			log = log.With("from", from)
		}
		log.Info("pulled", "refs_changed", result.Changed,
			"branch", result.Snapshot.Head.Ref, "revision", result.Snapshot.Head.ID)
	}
	return result, err
}

// pullJob is one pull. The time that it has is spent on sources alone: what it waits for a
// place to transfer objects does not count.
type pullJob struct {
	*Store
	opts     *Options
	req      Request
	left     time.Duration
	asked    time.Time // when a source was last asked for its refs
	lost     time.Time // when replicas began to be asked, since the origin could not be reached
	had      time.Time // when the mirror was last pulled before that
	progress *Progress

	refused  map[string]string // why, by the ids of objects that sources have; see refusedIDs
	warnings git.Warnings      // of what was fetched

	transferred bool // objects may have come
}

// run pulls from the origin or, if that cannot be reached, from a replica, and notes how
// it ended.
func (j *pullJob) run(ctx context.Context) (result Result, err error) {
	if j.req.OriginDown {
		err = &unreachable{err: errors.New("the origin was down a moment ago")}
	} else {
		result, err = j.from(ctx, Source{})
	}
	if errors.As(err, new(*unreachable)) {
		result, err = j.instead(ctx, err)
	}
	if saysNothing(err) {
		return Result{}, err
	}
	return result, j.record(ctx, err)
}

// saysNothing reports whether an error says nothing about the origin, or about the mirror that
// is there now: somebody may just be copying that in.
func saysNothing(err error) bool {
	return errors.Is(err, ErrClosing) || errors.As(err, new(*storage.Conflict)) ||
		errors.Is(err, storage.ErrReplaced) || errors.Is(err, storage.ErrTaken)
}

// instead does what can be done when the origin could not be reached. Where the storage cannot
// be used either, nobody is asked: who mends the one must know of the other.
func (j *pullJob) instead(ctx context.Context, reason error) (Result, error) {
	if fault := j.dir.Check(ctx); fault != nil {
		return Result{}, errtext.Several("neither the origin nor the storage can be used",
			reason, fmt.Errorf("can't use the storage: %w", fault))
	}
	if j.req.OriginOnly {
		return Result{}, reason
	}
	return j.fromReplicas(ctx, reason)
}

// record notes how the pull ended, and returns its error with those of noting it.
func (j *pullJob) record(ctx context.Context, err error) error {
	lock, lockErr := j.locks.Lock(ctx, j.req.Name)
	if lockErr != nil {
		return errors.Join(err, lockErr)
	}
	defer lock.Unlock()
	m, getErr := j.Get(j.req.Name)
	if getErr != nil {
		return err // it has none, or cannot be read, which the error says
	}
	if err != nil {
		err = errors.Join(err, m.hold(j.opts, lock).recordFailure(err))
	}
	if err == nil || !j.req.OriginOnly { // else two servers could keep each other from leaving it alone
		m.recordAbsent(ctx, j.opts.Retry)
		m.refresh.ended(err, j.req.Origin.Known(), j.opts.Retry)
	}
	return err
}

// from pulls from one source, with the mirror's lock.
func (j *pullJob) from(ctx context.Context, src Source) (Result, error) {
	lock, err := j.locks.Lock(ctx, j.req.Name)
	if err != nil {
		return Result{}, err
	}
	defer lock.Unlock()
	m, err := j.Get(j.req.Name)
	switch {
	case errors.Is(err, ErrUnknown) && j.req.Origin.Known():
		return j.create(ctx, lock, src)
	case errors.Is(err, ErrUnknown):
		return Result{}, err
	case err != nil:
		return j.replace(ctx, lock, src, err)
	}
	if !src.IsOrigin() && m.health.known() == nil {
		switch now := m.Snapshot(); {
		case j.overtaken(now):
			return Result{Snapshot: now}, errOvertaken
		case !src.ReachedOrigin && !src.Improves(Have{Pulled: now.Pulled, Fingerprint: now.Fingerprint}):
			return Result{}, errors.New("it has nothing newer any more")
		}
	}
	h := m.hold(j.opts, lock)
	result, err := j.update(ctx, h, src)
	if err != nil {
		if replaced := m.same(); replaced != nil { // what is there now is another mirror
			return Result{}, errors.Join(replaced, err)
		}
	}
	if j.req.Check || m.health.suspicious(err, time.Now()) {
		lock.Preempt()
		return j.recover(ctx, h, src, result, err)
	}
	return result, err
}

// overtaken reports whether the mirror was pulled from the origin since replicas began to be
// asked: another server may have had it pulled, which does not wait for this pull. What a
// replica has may be older then.
func (j *pullJob) overtaken(now *Snapshot) bool {
	return now.From == "" && !now.Pulled.Equal(j.had) && now.Pulled.After(j.lost)
}

// update pulls into a mirror that exists.
func (j *pullJob) update(ctx context.Context, h *held, src Source) (result Result, err error) {
	if err := h.packRefs(ctx); err != nil {
		return Result{}, err
	}
	if err := h.noticeRestored(time.Now()); err != nil {
		return Result{}, err
	}
	now := h.Snapshot()
	from, err := j.origin(now.Origin)
	if err != nil {
		return Result{}, err
	}
	listing, err := j.list(ctx, src, from)
	if err != nil {
		return Result{}, err
	}
	if rebuild, err := h.hasOtherFormat(ctx, listing); err != nil {
		return Result{}, err
	} else if rebuild {
		return j.build(ctx, h.lock, src, from, listing, h.survivors())
	}
	known, err := j.ensureWhole(ctx, h)
	if err != nil {
		return Result{}, err
	}
	j.refused = maps.Clone(h.refused().known(j.opts.Git))
	defer func() { err = errors.Join(err, h.repo.Release()) }()
	b, err := j.bring(ctx, h.lock, h.repo, now.Listing, src, from, listing)
	if err != nil {
		return Result{}, err
	}
	if known, err = j.lookAfter(ctx, h, known); err != nil {
		return Result{}, err
	}
	h.setRefused(refusedBy(j.opts.Git, b.refused))
	own, err := h.retention(ctx, &b.Plan)
	if err != nil {
		return Result{}, err
	}
	j.progress.say("writing refs")
	if now.Origin.String() != from.String() {
		if err := h.repo.SetOrigin(ctx, from.String()); err != nil {
			return Result{}, errors.Join(err, h.repo.Sweep())
		}
	}
	next := h.state()
	j.describe(&next, src, from)
	b.describe(&next)
	if known != nil && j.transferred {
		if packs, err := h.repo.Inventory(); err == nil && packs.Includes(known) {
			next.Whole = j.whole(packs)
		}
	}
	if err := h.apply(ctx, b.Plan, own, next); err != nil {
		return Result{}, err
	}
	if !b.Empty() {
		j.changed(h.Mirror, now, h.Snapshot())
	}
	return Result{h.Snapshot(), b.Changed()}, b.refusal()
}

// describe notes in a mirror's state where this pull has read, and what those wanted whose
// requests it has carried out.
func (j *pullJob) describe(s *stateFile, src Source, from origin.URL) {
	s.setSource(from, src, j.asked)
	s.Wanted = later(s.Wanted, j.wanted(j.req.Name))
	if j.req.Accept != "" {
		s.Accepted = j.asked
	}
}

// origin is where the mirror is to be pulled from, by what is stored and what the
// request says.
func (j *pullJob) origin(stored origin.URL) (origin.URL, error) {
	if err := sameOrigin(stored, j.req); err != nil {
		return origin.URL{}, err
	}
	from := stored
	if j.req.Origin.Known() {
		from = j.req.Origin.OrCredentialsOf(stored)
	}
	if !from.Known() {
		return from, errors.New("the mirror has no origin; the first POST sets it")
	}
	if err := j.opts.Origins.Check(from); err != nil {
		return from, fmt.Errorf("the mirror is served, but not updated: %w", err)
	}
	return from, nil
}
