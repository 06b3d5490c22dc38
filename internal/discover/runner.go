package discover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/changes"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
)

// Options are the part of the configuration that a runner uses. Nobody changes them once they are in
// force.
type Options struct {
	Tables  []Table
	Master  bool          // a server that is none discovers only while nobody has told it of mirrors
	Origins origin.Policy // which origins may be mirrored
	CAFile  string        // certificates that forges are checked against; empty for the system's
	Places  int           // orders at once whose slaves are not done
}

// Parts are what a runner is made of, beside its options.
type Parts struct {
	Dir   *storage.Dir
	Store *mirror.Store
	Log   *slog.Logger

	// Told reports whether another server has told this one of a mirror. Then that one discovers, or
	// its master does.
	Told func() bool

	// Begin has this server and its slaves do what a POST of the request would, and waits for this
	// server. over is closed when the slaves are done as well; nil if nothing has begun.
	Begin func(context.Context, mirror.Request) (over <-chan struct{}, err error)
}

// Runner looks at each forge in its interval.
type Runner struct {
	Parts
	life   context.Context
	work   sync.WaitGroup
	places limiter.Limiter // of orders that are not over on all servers

	changes changes.Counter // of what Stats returns

	mu      sync.Mutex // guards all below
	end     context.CancelFunc
	tables  []*tableRunner // of the latest Configure
	claimed map[string]int // which table has an origin, by its index in tables
}

// NewRunner returns a runner, which begins with the first Configure. All ends with life.
func NewRunner(life context.Context, parts Parts) *Runner {
	return &Runner{Parts: parts, life: life, end: func() {}}
}

// Configure puts options in force. What runs by the old ones is broken off, and begun anew.
func (r *Runner) Configure(o *Options) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.life.Err() != nil {
		return
	}
	r.end()
	r.places.Resize(o.Places)
	former := r.tables
	r.tables, r.claimed = nil, make(map[string]int)
	life, end := context.WithCancel(r.life)
	r.end = end
	defer r.changes.Add()
	labels := make(map[string]int)
	var loaded sync.WaitGroup
	for i, table := range o.Tables {
		t := &tableRunner{Runner: r, Table: table, Options: o, index: i, over: make(chan struct{}), label: table.String()}
		if labels[t.label]++; labels[t.label] > 1 {
			t.label += fmt.Sprintf(" (%d)", labels[t.label])
		}
		for _, old := range former {
			t.former = append(t.former, old.over)
			if old.key() == table.key() {
				t.stats = old.Stats()
			}
		}
		t.stats.Table = t.label
		r.tables = append(r.tables, t)
		loaded.Add(1)
	}
	for _, t := range r.tables {
		r.work.Go(func() {
			defer close(t.over)
			t.run(life, &loaded)
		})
	}
}

// Wait returns when everything has ended. That needs the end of the runner's life.
func (r *Runner) Wait() { r.work.Wait() }

// command has one order carried out, as soon as there is a place for it, and waits for this server.
func (r *Runner) command(ctx context.Context, req mirror.Request) error {
	if err := r.places.AcquireIdle(ctx); err != nil { // however late that is
		return err
	}
	over, err := r.Begin(ctx, req)
	if over == nil {
		r.places.Release()
		return err
	}
	r.work.Go(func() {
		<-over
		r.places.Release()
	})
	return err
}

// Stats is what is known of a table.
type Stats struct {
	Table    string
	Done     time.Time // when the latest round ended whose listing was whole; zero for none
	Error    string    // why the latest listing failed; empty if it did not
	Failing  time.Time // since when listings fail; zero if they do not
	Found    int       // repositories that the forge listed then
	Wanted   int       // of them, those that are to have a mirror
	LeftOut  map[Reason]int
	Failed   int // mirrors that could not be made or moved in that round
	Gone     int // mirrors whose repositories the forge does not list any more
	Made     uint64
	Moved    uint64
	Requests uint64 // to the forge; Made, Moved and Requests count since the start
}

// Stats tells of all tables, in the order of the configuration. Of a nil Runner there are none.
func (r *Runner) Stats() []Stats {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Stats, len(r.tables))
	for i, t := range r.tables {
		all[i] = t.Stats()
	}
	return all
}

// Generation returns a number that changes after each change of Stats. A nil Runner has none.
func (r *Runner) Generation() uint64 {
	if r == nil {
		return 0
	}
	return r.changes.Count()
}

// After returns a channel that is closed when Generation returns another number than this one. Of a
// nil Runner it is nil.
func (r *Runner) After(generation uint64) <-chan struct{} {
	if r == nil {
		return nil
	}
	return r.changes.After(generation)
}

// claimKnown gives a table the origins that it knows from its last round, unless one before it has them.
func (r *Runner) claimKnown(index int, known map[string]Known) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range known {
		if by, ok := r.claimed[k.Origin]; !ok || by > index {
			r.claimed[k.Origin] = index
		}
	}
}

// claim gives a table those origins of the candidates that no other table has, and takes from it all
// others. It returns which candidates it has got.
func (r *Runner) claim(index int, all []Candidate) []bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.claimed, func(_ string, by int) bool { return by == index })
	got := make([]bool, len(all))
	for i, c := range all {
		by, ok := r.claimed[c.Origin.String()]
		if got[i] = !ok || by == index; got[i] {
			r.claimed[c.Origin.String()] = index
		}
	}
	return got
}

// here is what this server has under a name.
func (r *Runner) here(name storage.Name) Here {
	m, err := r.Store.Get(name)
	switch {
	case errors.Is(err, mirror.ErrUnknown):
		_, removed := r.Store.DeletedAt(name)
		return Here{Removed: removed}
	case err != nil:
		return Here{Exists: true, Unreadable: true}
	}
	snap := m.Snapshot()
	return Here{Exists: true, OnDemand: snap.OnDemand, Gone: !snap.Gone.IsZero(), Origin: snap.Origin}
}
