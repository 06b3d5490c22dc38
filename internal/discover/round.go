package discover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/reconquest/sould/internal/forge"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/storage"
)

const (
	// maxOrders is how many orders of a table are carried out at once.
	maxOrders = 4

	// savesOfRound is about how often a round writes its state while it carries its orders out, however
	// long that state is.
	savesOfRound = 50

	// firstRetry is the pause after the first listing that fails. It doubles with each, up to the
	// interval.
	firstRetry = time.Minute
)

// tableRunner does the rounds of one table.
type tableRunner struct {
	*Runner
	Table
	*Options
	index  int
	label  string            // of the table; others have other ones
	former []<-chan struct{} // closed when those have ended that may write the same state
	over   chan struct{}     // closed when this one has ended
	failed int               // listings in a row
	said   string            // what was left out when the log was told last

	statsMu sync.Mutex // guards stats
	stats   Stats
}

// Stats is what is known of the table.
func (t *tableRunner) Stats() Stats {
	t.statsMu.Lock()
	defer t.statsMu.Unlock()
	return t.stats
}

func (t *tableRunner) record(change func(*Stats)) {
	t.statsMu.Lock()
	change(&t.stats)
	t.statsMu.Unlock()
	t.changes.Add()
}

func (t *tableRunner) stateDir() string { return t.Dir.Own("discover") }

// run does one round after the other until ctx ends. loaded counts the tables whose state was not read yet: only
// then it is known which table has which origin.
func (t *tableRunner) run(ctx context.Context, loaded *sync.WaitGroup) {
	for _, over := range t.former { // soon
		<-over
	}
	known, err := readState(t.stateDir(), t.Table)
	if err != nil {
		t.Log.Error("discovery begins anew: mirrors that were removed here may be made again", "table", t.label, "err", err)
	}
	t.record(func(s *Stats) { s.Done = known.Done })
	t.claimKnown(t.index, known.Known)
	loaded.Done()
	loaded.Wait()
	if t.index == 0 {
		if err := removeOldStates(t.stateDir(), t.Tables, time.Now()); err != nil {
			t.Log.Error("can't remove what discovery knew of former tables", "err", err)
		}
	}
	select {
	case <-t.Store.Ready():
	case <-ctx.Done():
		return
	}
	pause := max(untilNext(known.Done, time.Now(), t.Interval), known.pauseLeft(t.Table, time.Now()))
	for left := false; ; {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		if t.Master || !t.Told() {
			pause, left = t.round(ctx, &known), false
			pause = max(pause, known.pauseLeft(t.Table, time.Now()))
			continue
		}
		if pause = t.Interval; !left {
			left = true
			t.Log.Info("discovery is left to the master, which tells this server of mirrors", "table", t.label)
		}
	}
}

// untilNext is how long to wait for the next round after a start. A clock that was set back does not make it
// long.
func untilNext(done, now time.Time, interval time.Duration) time.Duration {
	if done.IsZero() || done.After(now) {
		return 0
	}
	return max(0, done.Add(interval).Sub(now))
}

// round lists the forge, and does what follows from that. It returns how long to wait for the next
// round.
func (t *tableRunner) round(ctx context.Context, s *state) time.Duration {
	listing, err := t.list(ctx, s)
	if ctx.Err() != nil {
		return 0
	}
	if err != nil {
		return t.recordFailure(err)
	}
	t.failed = 0
	p, counts := t.plan(listing, s.Known)
	failure := t.carryOut(ctx, s, &p, &counts)
	s.Known = p.Known
	whole := ctx.Err() == nil
	if whole {
		s.Done = time.Now()
	}
	t.save(s)
	if whole {
		t.tell(p, counts, failure)
	}
	return t.Interval
}

// list lists the forge, and keeps its pages.
func (t *tableRunner) list(ctx context.Context, s *state) (forge.Listing, error) {
	if err := t.Dir.CheckOwned(); err != nil { // every mirror would seem to be gone
		return forge.Listing{}, err
	}
	source, err := t.withToken()
	if err != nil {
		return forge.Listing{}, err
	}
	client, err := forge.NewClient(t.CAFile)
	if err != nil {
		return forge.Listing{}, err
	}
	listing, err := client.List(ctx, source, s.Pages)
	s.Pages = listing.Pages
	t.record(func(now *Stats) { now.Requests += uint64(listing.Requests) })
	if s.Pause = (pause{}); !listing.PausedUntil.IsZero() {
		s.Pause = pause{listing.PausedUntil, t.TokenFile}
	}
	if err != nil {
		t.save(s)
	}
	return listing, err
}

func (t *tableRunner) save(s *state) {
	s.Table = t.String()
	if err := s.write(t.stateDir(), t.Table); err != nil {
		t.Log.Error("can't keep what discovery knows", "table", t.label, "err", err)
	}
}

// recordFailure records that a listing has failed, and returns how long to wait for the next one.
func (t *tableRunner) recordFailure(err error) time.Duration {
	pause := min(firstRetry<<min(t.failed, 10), t.Interval)
	t.failed++
	changed := false
	t.record(func(s *Stats) {
		changed = s.Error != err.Error() && (s.Error == "" || !errors.As(err, new(*forge.Limited)))
		s.Error = err.Error()
		if s.Failing.IsZero() {
			s.Failing = time.Now()
		}
	})
	if changed {
		t.Log.Error("can't list the repositories of a forge; what is mirrored stays", "table", t.label, "err", err)
	}
	return pause
}

// plan makes the plan of a whole listing.
func (t *tableRunner) plan(listing forge.Listing, known map[string]Known) (Plan, Stats) {
	listed, chosen, out := t.choose(listing.Repos)
	p := plan(known, listed, chosen, t.here)
	counts := Stats{Found: len(listing.Repos), LeftOut: make(map[Reason]int)}
	for why, one := range out {
		p.LeftOut[why] = one // plan knows others
	}
	counts.Wanted = counts.Found
	for why, one := range p.LeftOut {
		counts.LeftOut[why] = one.n
		counts.Wanted -= one.n
	}
	return p, counts
}

// choose parts what is listed from what of that is wanted.
func (t *tableRunner) choose(repos []forge.Repo) (listed map[string]bool, chosen []Candidate, out tally) {
	listed, out = make(map[string]bool, len(repos)), make(tally)
	var wanted []Candidate
	for _, repo := range repos {
		listed[repo.ID] = true
		if c, why := t.Table.choose(repo, t.Origins); why != "" {
			out.add(why, repo.Path)
		} else {
			wanted = append(wanted, c)
		}
	}
	for i, got := range t.claim(t.index, wanted) {
		if !got {
			out.add(Elsewhere, wanted[i].Path)
			continue
		}
		chosen = append(chosen, wanted[i])
	}
	return listed, chosen, out
}

// carryOut carries a plan out, and counts what comes of it. failure is the first of those that are counted. What is
// done it writes down meanwhile: a repository that is renamed after a kill would else get a second mirror.
func (t *tableRunner) carryOut(ctx context.Context, s *state, p *Plan, counts *Stats) (failure error) {
	by := "the discovery of " + t.String()
	var mu sync.Mutex // guards s, p, counts, failure and unsaved
	unsaved := 0
	var workers errgroup.Group
	workers.SetLimit(maxOrders)
	for _, order := range p.Orders {
		workers.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			err := t.command(ctx, mirror.Request{Name: order.Name, Origin: order.Origin, Move: order.From, By: by})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil && ctx.Err() != nil: // that may be why
			case err != nil:
				counts.Failed++
				failure = cmp.Or(failure, fmt.Errorf("%s: %w", order.Name, err))
			default:
				p.done(order)
				t.count(order, counts)
				if unsaved++; unsaved > len(p.Known)/savesOfRound {
					s.Known, unsaved = p.Known, 0
					t.save(s)
				}
			}
			return nil
		})
	}
	_ = workers.Wait() // none of them fails
	t.mark(ctx, p, by)
	for _, k := range p.Known {
		if k.Gone {
			counts.Gone++
		}
	}
	return failure
}

// count counts an order that was carried out.
func (t *tableRunner) count(o Order, counts *Stats) {
	switch o.Verb {
	case Create:
		counts.Made++
	case Move:
		counts.Moved++
		t.Log.Info("a mirror follows its repository", "mirror", o.Name.String(), "from", o.From.String(), "to", o.Origin.String(), "table", t.label)
	case Return:
		t.Log.Info("a repository is back at its forge", "mirror", o.Name.String(), "origin", o.Origin.String(), "table", t.label)
	}
}

// mark marks the mirrors of repositories that have vanished.
func (t *tableRunner) mark(ctx context.Context, p *Plan, by string) {
	for _, id := range p.Vanished {
		k := p.Known[id]
		name, err := storage.ParseName(k.Name)
		if err == nil {
			err = t.Store.MarkGone(ctx, name, time.Now(), by)
		}
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, mirror.ErrUnknown) {
				t.Log.Error("can't mark a mirror whose repository is gone", "mirror", k.Name, "err", err)
			}
			continue
		}
		t.Log.Warn("a repository is gone from its forge; its mirror is kept", "mirror", k.Name, "origin", k.Origin, "table", t.label)
		k.Gone = true
		p.Known[id] = k
	}
}

// tell tells the statistics, and the log if there is something new.
func (t *tableRunner) tell(p Plan, counts Stats, failure error) {
	failed := false
	t.record(func(s *Stats) {
		failed = s.Error != ""
		s.Done, s.Error, s.Failing = time.Now(), "", time.Time{}
		s.Found, s.Wanted, s.LeftOut, s.Failed, s.Gone = counts.Found, counts.Wanted, counts.LeftOut, counts.Failed, counts.Gone
		s.Made += counts.Made
		s.Moved += counts.Moved
	})
	left := p.LeftOut.text(true)
	if counts.Made+counts.Moved == 0 && failure == nil && !failed && left == t.said {
		return
	}
	told := []any{"table", t.label, "found", counts.Found, "new", counts.Made, "moved", counts.Moved, "failed", counts.Failed}
	if left != t.said && left != "" {
		told = append(told, "left_out", left)
	}
	t.said = left
	if failure != nil {
		t.Log.Warn("not all that was discovered can be mirrored; the next round tries again", append(told, "err", failure)...)
		return
	}
	t.Log.Info("discovered", told...)
}
