package status

import (
	"context"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/changes"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/storage"
)

// watches look whether answers have changed: one look for all clients that wait for the same answer. The zero
// value is ready for use.
type watches struct {
	mu      sync.Mutex // guards byQuery, and the count of those who wait
	byQuery map[Query]*watch
	running sync.WaitGroup
}

// watch looks at the answer to one query as long as somebody waits for it.
type watch struct {
	waiting int // guarded by watches.mu
	stop    context.CancelFunc
	kick    chan struct{} // has an element when it shall look at once
	changed changes.Counter

	mu     sync.Mutex // guards all below
	begun  int        // looks
	latest look       // that has ended
}

// look is an answer, and which look has found it; 0 for none.
type look struct {
	n      int
	answer Answer
	err    error
}

// Pauses between two looks.
const (
	lookEvery  = 5 * time.Second        // for what announces no change: other servers, and what was served
	lookPause  = 100 * time.Millisecond // after a look that has found nothing new
	slavesLook = 500 * time.Millisecond // the same where it asks other servers
)

// Await answers a query of a client that has had an answer, as soon as there is news, or when ctx ends or
// over is closed: then with the latest. opts returns the options in force.
func (r *Reporter) Await(ctx context.Context, over <-chan struct{}, opts func() *Options, q Query, had Answer) (Answer, error) {
	q.hold = 1 // however long each of them waits
	w := r.join(opts, q)
	defer r.leave(q, w)
	w.mu.Lock()
	joined := w.begun
	w.mu.Unlock()
	for {
		seen := w.changed.Count()
		w.mu.Lock()
		latest := w.latest
		w.mu.Unlock()
		if latest.n > 0 && (latest.err != nil || latest.answer.isNewsTo(had)) {
			if latest.n > joined {
				return latest.answer, latest.err
			}
			wake(w.kick) // it began before the client's own look, and may be older than that
		}
		select {
		case <-w.changed.After(seen):
		case <-over:
			return had, nil
		case <-ctx.Done():
			return had, nil
		}
	}
}

// isNewsTo reports whether a client that has had an answer waits for this one.
func (a Answer) isNewsTo(had Answer) bool {
	if a.since {
		return a.News
	}
	return a.ETag != had.ETag
}

func wake(kick chan struct{}) {
	select {
	case kick <- struct{}{}:
	default:
	}
}

// join returns the watch of a query, which the caller must leave.
func (r *Reporter) join(opts func() *Options, q Query) *watch {
	all := &r.watching
	all.mu.Lock()
	defer all.mu.Unlock()
	w := all.byQuery[q]
	if w == nil {
		ctx, stop := context.WithCancel(r.Life)
		w = &watch{stop: stop, kick: make(chan struct{}, 1)}
		if all.byQuery == nil {
			all.byQuery = make(map[Query]*watch)
		}
		all.byQuery[q] = w
		all.running.Go(func() { r.watch(ctx, w, opts, q) })
	}
	w.waiting++
	return w
}

func (r *Reporter) leave(q Query, w *watch) {
	all := &r.watching
	all.mu.Lock()
	defer all.mu.Unlock()
	if w.waiting--; w.waiting == 0 {
		w.stop()
		delete(all.byQuery, q)
	}
}

// Wait returns when nobody looks any more. No client may wait then.
func (r *Reporter) Wait() {
	r.watching.running.Wait()
	r.asking.Wait()
}

// watch looks at the answer to a query after each change, until ctx ends.
func (r *Reporter) watch(ctx context.Context, w *watch, opts func() *Options, q Query) {
	for ctx.Err() == nil {
		w.mu.Lock()
		w.begun++
		n, before := w.begun, w.latest
		w.mu.Unlock()
		at, current := r.now(), opts()
		client := Asker{Trace: protocol.NewClientTrace()}
		answer, err := r.Answer(ctx, current, q, client, func(etag string) bool { return before.n == 0 || etag != before.answer.ETag })
		if answer.ETag == before.answer.ETag && len(answer.Body) == 0 {
			answer.Body = before.answer.Body
		}
		w.mu.Lock()
		w.latest = look{n, answer, err}
		w.mu.Unlock()
		w.changed.Add()
		pause := time.Duration(0)
		if before.n > 0 && !answer.isNewsTo(before.answer) {
			if pause = lookPause; current.Master && q.upstream {
				pause = slavesLook
			}
		}
		r.pause(ctx, w, q, at, pause)
	}
}

// pause waits until something has changed after a moment, but at least that long.
func (r *Reporter) pause(ctx context.Context, w *watch, q Query, after cursor, least time.Duration) {
	rest := time.NewTimer(least)
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-ctx.Done():
		return
	}
	mirrors, moves := r.Store.After(after.generation), r.Store.AfterMoves(after.moves)
	if q.name != (storage.Name{}) {
		mirrors, moves = r.Store.AfterOf(q.name, after.generation), r.Store.AfterMovesOf(q.name, after.moves)
	}
	if !q.progress {
		moves = nil
	}
	var again <-chan time.Time
	if !q.hasSince && (q.upstream || q.name == (storage.Name{})) {
		timer := time.NewTimer(lookEvery - least)
		defer timer.Stop()
		again = timer.C
	}
	select {
	case <-mirrors:
	case <-moves:
	case <-again:
	case <-w.kick:
	case <-ctx.Done():
	}
}
