package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// Request asks for a pull.
type Request struct {
	ID         string // for the log; empty if no request of a client has led to it
	Name       storage.Name
	Origin     origin.URL      // if not Known, the mirror's own, and no mirror is created
	Move       origin.URL      // the former origin that Origin may replace; not Known for none
	Accept     refs.Acceptance // which losses of the origin to carry out
	OriginOnly bool            // another server asks: do not ask replicas in turn
	Wanted     time.Time       // when somebody asked for the mirror; zero if nobody has
	By         string          // who sends it, for people: an address, or what the server does
	OriginDown bool            // the origin is known to be down: ask replicas at once
	OnDemand   bool            // a read asks: a mirror that is made is marked as made on demand
	Own        bool            // a mirror that a read has made stays this server's own; none is created
	PeersFirst bool            // what a peer has of a mirror that is not here is fetched before the origin is asked
	Poll       bool            // nobody waits for it: do not ask replicas, and log only what is new
	read       time.Time       // when a read asked, for a request OnDemand; see Begin
	check      bool            // the mirror may be damaged: check it, and rebuild it if it is
}

// isGuess reports whether a request has failed because a reader has asked for what there is not.
func (r Request) isGuess(err error) bool { return r.OnDemand && git.IsRefused(err) }

// variant is what must be equal in two requests that share a pull.
type variant struct {
	opts              *Options // a reload changes what a pull does
	origin, move      origin.URL
	accept            refs.Acceptance
	originDown, check bool
	own, poll         bool
}

// Result is what a pull did. A failed pull that has changed the mirror all the same has a
// Snapshot beside its error.
type Result struct {
	Snapshot *Snapshot
	Changed  int // refs created, moved or deleted
}

// Run is a pull that is running or queued. It owns the reservation of its name.
type Run struct {
	run     *coalesce.Run[variant, Result]
	release func()
}

// Wait waits for the end of the pull, or of ctx, and gives up the reservation. If ctx ends
// first, the pull goes on. Wait must be called once.
func (r Run) Wait(ctx context.Context) (Result, error) {
	defer r.release()
	return r.run.Wait(ctx)
}

// Begin reserves the name of a mirror and begins a pull that asks the origin after Begin was
// called. Equal requests share it. The error is a *storage.Conflict if the request cannot be
// carried out, or limiter.ErrBusy. A request OnDemand joins any pull that is running: it wants the
// mirror to be there, and no more.
//
// Requests from other servers have runs of their own: they never wait for a run that is itself
// asking other servers.
func (s *Store) Begin(req Request) (Run, error) {
	if req.OnDemand { // it stands against a DELETE before, and not against one from now on
		req.read = s.NextIntent(req.Name, time.Now())
	}
	req = s.adopting(req)
	release, err := s.reserve(&req)
	if err != nil {
		return Run{}, err
	}
	run, err := s.startRun(req)
	if err != nil {
		release()
		return Run{}, err
	}
	switch {
	case !req.Wanted.IsZero():
		s.journals.change(req.Name, func(j *Journal) { j.Asked = Asking{At: req.Wanted, By: req.By} })
	case req.Own:
		s.journals.change(req.Name, func(j *Journal) { j.Asked = Asking{At: s.NextIntent(req.Name, time.Now()), By: req.By} })
	}
	return Run{run, release}, nil
}

// Pull pulls a mirror that exists, without a reservation, and waits for the result. If ctx ends
// first, the pull goes on. The error may be limiter.ErrBusy.
func (s *Store) Pull(ctx context.Context, req Request) (Result, error) {
	run, err := s.startRun(req)
	if err != nil {
		return Result{}, err
	}
	return run.Wait(ctx)
}

func (s *Store) startRun(req Request) (*coalesce.Run[variant, Result], error) {
	runs := &s.pulls
	if req.OriginOnly {
		runs = &s.forPeers
	}
	v, work := s.job(s.options.Load(), req)
	if req.OnDemand {
		return runs.Enter(req.Name, v, work), nil
	}
	run, err := runs.Queue(req.Name, v, work)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", limiter.ErrBusy, err)
	}
	return run, nil
}

// job returns the work of a run that carries out a request, and what must be equal in requests
// that share the run.
func (s *Store) job(opts *Options, req Request) (v variant, work func() (Result, error)) {
	v = variant{opts, req.Origin, req.Move, req.Accept, req.OriginDown, req.check, req.Own, req.Poll}
	return v, func() (Result, error) { return s.pull(opts, req) }
}

// pull carries out a request and logs the result.
func (s *Store) pull(opts *Options, req Request) (result Result, err error) {
	progress, end := s.startProgress(req.Name)
	defer end()
	job := &pullJob{Store: s, opts: opts, req: req, remaining: opts.FetchTimeout, progress: progress}
	log := s.log.With("mirror", req.Name)
	if req.ID != "" {
		log = log.With("request", req.ID)
	}

	defer func() { job.endGrowing(result, err) }()
	stop := progress.logUntil(log)
	defer stop() // if the job panics
	result, err = job.run(s.life)
	stop()
	if !req.isGuess(err) {
		s.counts.record(result, err, time.Since(progress.began))
	}
	log = log.With("took", units.FormatSeconds(time.Since(progress.began)))
	if !errors.Is(err, ErrClosing) && s.recordPull(req, progress.began, result, err) && req.Poll {
		log.Debug("polled, with the same result as before")
		return result, err
	}
	logPull(log, req, result, err)
	return result, err
}

// logPull tells how a pull has ended.
func logPull(log *slog.Logger, req Request, result Result, err error) {
	switch {
	case errors.Is(err, ErrClosing):
		log.Info("pull ended by the shutdown")
	case errors.Is(err, errRemoved), errors.Is(err, ErrUnknown):
		log.Info("not pulled: a DELETE has removed the mirror, or somebody has by hand")
	case req.isGuess(err):
		log.Info("not made: the origin has no such repository, or none for this server", "client", req.By, "reason", errtext.Line(err.Error()))
	case err != nil && req.OnDemand && isRefusal(err):
		log.Info("not made: there is no room for it", "client", req.By, "reason", errtext.Line(err.Error()))
	case err != nil && req.OriginOnly: // the server that asks logs it as its own failure
		log.Warn("can't pull for another server", "reason", errtext.Line(err.Error()))
	case err != nil:
		log.Error("can't pull", "err", err)
	default:
		if from := result.Snapshot.From; from != "" {
			log = log.With("from", from)
		}
		log.Info("pulled", "refs_changed", result.Changed,
			"branch", result.Snapshot.Head.Ref, "revision", result.Snapshot.Head.ID)
	}
}

// pullJob is one pull.
type pullJob struct {
	*Store
	opts          *Options
	req           Request
	remaining     time.Duration // for asking sources; waiting for a place does not count
	listedAt      time.Time     // when a source was last asked for its refs
	looked        time.Time     // when the origin was asked for the refs that the mirror has now; zero if it was not
	fallbackBegan time.Time     // when the job began to ask replicas
	pulledBefore  time.Time     // when the mirror was last pulled before fallbackBegan
	progress      *Progress

	refused  map[string]string // reasons by the ids of the refused objects; see refusedIDs
	warnings git.Warnings      // about the fetched objects

	transferred bool     // whether a transfer was tried
	growing     *Growing // what readers are shown of a mirror that they wait for; nil for nothing
}

// run pulls from the origin or, if that cannot be reached, from a replica, and records how it
// ended.
func (j *pullJob) run(ctx context.Context) (result Result, err error) {
	if j.req.OriginDown {
		err = &unreachable{err: errors.New("the origin was down a moment ago")}
	} else {
		if j.req.PeersFirst {
			j.fromHolders(ctx)
		}
		if err = j.leaveAlone(); err == nil {
			result, err = j.pullFrom(ctx, Source{})
		}
	}
	if errors.As(err, new(*unreachable)) {
		result, err = j.fallBack(ctx, err)
	}
	if isInconclusive(err) {
		return Result{}, err
	}
	return result, j.record(ctx, err)
}

// leaveAlone returns an *unreachable if a first read wants a mirror from a host that has asked to be left
// alone. Who reads a mirror that is there, and who polls, has not even begun a pull then.
func (j *pullJob) leaveAlone() error {
	if until := j.PausedUntil(j.req.Origin.Host()); j.req.OnDemand && !until.IsZero() {
		return &unreachable{err: fmt.Errorf("the host of the origin has asked to be left alone until %s", date(until))}
	}
	return nil
}

// isInconclusive reports whether an error says nothing about the origin or about the mirror
// that is there now, which an operator may be copying in.
func isInconclusive(err error) bool {
	return errors.Is(err, ErrClosing) || errors.As(err, new(*storage.Conflict)) ||
		errors.Is(err, storage.ErrReplaced) || errors.Is(err, storage.ErrTaken)
}

// fallBack pulls from a replica because the origin could not be reached. If the storage cannot
// be used either, it reports both faults and asks nobody.
func (j *pullJob) fallBack(ctx context.Context, reason error) (Result, error) {
	if fault := j.dir.Check(ctx); fault != nil {
		return Result{}, errtext.Several("neither the origin nor the storage can be used",
			reason, fmt.Errorf("can't use the storage: %w", fault))
	}
	if j.req.OriginOnly || j.req.Poll {
		return Result{}, reason
	}
	if _, err := j.Get(j.req.Name); j.req.PeersFirst && errors.Is(err, ErrUnknown) {
		return Result{}, reason // nobody has it: fromHolders has asked
	}
	return j.fromReplicas(ctx, reason)
}

// record records how the pull ended. It returns the pull's error, joined with its own.
func (j *pullJob) record(ctx context.Context, err error) error {
	lock, lockErr := j.locks.Lock(ctx, j.req.Name)
	if lockErr != nil {
		return errors.Join(err, lockErr)
	}
	defer lock.Unlock()
	m, getErr := j.Get(j.req.Name)
	if getErr != nil {
		return err // no mirror, or one that cannot be read, as err says
	}
	if err != nil {
		err = errors.Join(err, m.hold(j.opts, lock).recordFailure(err))
	}
	if err == nil || !j.req.OriginOnly { // else two servers could reset each other's backoff forever
		m.recordAbsent(ctx, j.opts.Retry)
		m.refresh.recordPull(err, j.looked, j.req.Origin.Known(), j.opts.Retry)
	}
	return err
}

// pullFrom pulls from one source and holds the mirror's lock meanwhile.
func (j *pullJob) pullFrom(ctx context.Context, src Source) (Result, error) {
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
		return j.replaceUnreadable(ctx, lock, src, err)
	}
	if !src.isOrigin() && m.health.knownDamage() == nil {
		switch now := m.Snapshot(); {
		case j.overtaken(now):
			return Result{Snapshot: now}, errOvertaken
		case !src.ReachedOrigin && !src.Improves(Have{Pulled: now.Pulled, Fingerprint: now.Fingerprint}):
			return Result{}, errors.New("it no longer has anything newer")
		}
	}
	h := m.hold(j.opts, lock)
	h.poll = j.req.Poll
	result, err := j.update(ctx, h, src)
	if err != nil {
		if replaced := m.checkIdentity(); replaced != nil { // another mirror has its place
			return Result{}, errors.Join(replaced, err)
		}
	}
	if j.req.check || m.health.suspicious(err, time.Now()) {
		lock.Preempt()
		return j.recover(ctx, h, src, result, err)
	}
	return result, err
}

// overtaken reports whether the mirror was pulled from the origin since the job began to ask
// replicas. A request of another server can do that, since it does not wait for this pull. A
// replica may have something older then.
func (j *pullJob) overtaken(now *Snapshot) bool {
	return now.From == "" && !now.Pulled.Equal(j.pulledBefore) && now.Pulled.After(j.fallbackBegan)
}

// update pulls into a mirror that exists.
func (j *pullJob) update(ctx context.Context, h *held, src Source) (result Result, err error) {
	if err := h.packRefs(ctx); err != nil {
		return Result{}, err
	}
	if err := h.recordRestored(time.Now()); err != nil {
		return Result{}, err
	}
	now := h.Snapshot()
	from, err := j.chooseOrigin(now.Origin)
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
	j.refused = maps.Clone(h.refused().stillRefused(j.opts.Git))
	defer func() { err = errors.Join(err, h.repo.Release()) }()
	b, err := j.fetchMissing(ctx, h.lock, h.repo, now.Listing, src, from, listing)
	if err != nil {
		return Result{}, err
	}
	if known, err = j.verifyDeepened(ctx, h, known); err != nil {
		return Result{}, err
	}
	h.setRefused(newRefusedIDs(j.opts.Git, b.refused))
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
	next := j.stateAfter(h, src, from, b, known)
	if err := h.apply(ctx, b.Plan, own, next); err != nil {
		return Result{}, err
	}
	if j.transferred {
		h.measure()
	}
	if !now.Hook.BrokenSince().IsZero() && next.Hook.BrokenSince().IsZero() {
		j.log.Info(HookMended, "mirror", j.req.Name, "by", next.WantedBy)
	}
	if !b.Empty() {
		j.changed(h.Mirror, now, h.Snapshot())
	}
	return Result{h.Snapshot(), b.Changed()}, b.refusal()
}

// stateAfter returns the state of a mirror after this pull. known are the packs of before that have all
// objects; nil if that is not known.
func (j *pullJob) stateAfter(h *held, src Source, from origin.URL, b fetchedPlan, known git.Inventory) stateFile {
	next := h.state()
	j.recordSource(&next, src, from, b.Changed() > 0)
	b.recordIn(&next)
	if known != nil && j.transferred {
		if packs, err := h.repo.Inventory(); err == nil && packs.Includes(known) {
			next.Whole = j.wholenessOf(packs)
		}
	}
	return next
}

// recordSource records in a mirror's state the source of this pull, and what its requests asked
// for. changed means that it has brought something new.
func (j *pullJob) recordSource(s *stateFile, src Source, from origin.URL, changed bool) {
	if j.req.OnDemand && s.Origin == "" { // it is new
		s.OnDemand, s.Made, s.MadeBy = true, time.Now(), j.req.By
	}
	switch {
	case src.isOrigin():
		j.looked = j.listedAt
	case src.ReachedOrigin:
		j.looked = src.Asked
	}
	s.setSource(from, src, j.listedAt)
	if at, by := j.wanted(j.req.Name); at.After(s.Wanted) {
		s.Wanted, s.WantedBy = at, by
		s.OnDemand = false
		s.Hook = s.Hook.asked(by, changed)
	}
	if j.req.Own {
		s.Hook = s.Hook.asked(j.req.By, changed)
	}
	if j.req.Origin.Known() && !j.req.OnDemand && !j.req.Own && !j.req.OriginOnly { // a POST, or another server that has one
		s.OnDemand = false
	}
	if j.req.Accept != "" {
		s.Accepted = j.listedAt
	}
}

// chooseOrigin returns the origin to pull from: that of the request or, if it has none, the
// stored one.
func (j *pullJob) chooseOrigin(stored origin.URL) (origin.URL, error) {
	if err := checkOrigin(stored, j.req); err != nil {
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
