// Package coalesce answers many equal requests with few runs. No caller ever gets the result of
// a run that began before its request.
//
// The usual tool for joining calls, singleflight, lets a caller share a run that has begun. For
// "bring me up to date" that is wrong: the run may have read the state of the world before the
// caller's change. A [Group] lets a caller share only a run that has not begun yet:
//
//	caller A ──▶ run 1 ═══════════════▶
//	caller B ────────────▶ (waits)      run 2 ══════════▶
//	caller C ──────────────────▶ (joins B)
//
// So however many callers ask during run 1, one more run answers all of them, and each gets the
// result of a run that began after it asked.
//
// Each run belongs to a lane and has a variant. A lane has at most one run at a time, and its
// runs begin in the order of the requests. Callers share a run only if their variants are
// equal, because a run does what its own variant says. Lanes are independent of each other.
//
// A caller that gives up does not stop the run: another caller may wait for it, and its result
// is useful in any case.
//
// Where a request has an id, [Recent] knows a copy of it that comes later.
package coalesce

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
)

// maxWaiting is how many runs may be queued in one lane, each with a different variant.
const maxWaiting = 16

// errFull is returned if the queue of a lane is full.
var errFull = errors.New("too many different requests are waiting already")

// Group runs functions, at most one at a time in each lane. The zero value is ready for use. A
// Group must not be copied after the first use.
type Group[Lane, Variant comparable, Result any] struct {
	mu    sync.Mutex                       // guards lanes and everything in them, except for the results of runs
	lanes map[Lane]*queue[Variant, Result] // a lane exists while it has a run
	runs  sync.WaitGroup                   // counts the lanes that exist
}

// queue is a lane: its current run, and the runs that wait for it to end.
type queue[Variant comparable, Result any] struct {
	current *Run[Variant, Result]
	waiting []*Run[Variant, Result]
}

// Run is one run of a function. Several callers may wait for it.
type Run[Variant comparable, Result any] struct {
	variant Variant
	work    func() (Result, error)
	done    chan struct{} // closed when result and err are final
	result  Result
	err     error
}

// panicError is the error of a run whose function panicked. The lane goes on.
type panicError struct {
	value any    // the argument of panic
	stack []byte // of the goroutine that panicked
}

func (e *panicError) Error() string {
	return fmt.Sprintf("panic: %v\n%s", e.value, e.stack)
}

// Do returns the result of a run that begins after Do was called. It shares the run that is
// queued in the lane with this variant or, if there is none, queues a run of work. If the queue
// is full, the error says so.
//
// If ctx ends first, Do returns the cause of its end, and the run goes on.
func (g *Group[Lane, Variant, Result]) Do(
	ctx context.Context, lane Lane, variant Variant, work func() (Result, error),
) (Result, error) {
	r, err := g.Queue(lane, variant, work)
	if err != nil {
		var none Result
		return none, err
	}
	return r.Wait(ctx)
}

// Queue is the first half of Do: it finds or queues the run, without waiting. The second half
// is [Run.Wait].
func (g *Group[Lane, Variant, Result]) Queue(
	lane Lane, variant Variant, work func() (Result, error),
) (*Run[Variant, Result], error) {
	return g.find(lane, variant, work, false)
}

// Enter returns the current run of the lane, whatever its variant, for a caller that accepts its result.
// If the lane has no run, Enter starts one of work.
func (g *Group[Lane, Variant, Result]) Enter(lane Lane, variant Variant, work func() (Result, error)) *Run[Variant, Result] {
	r, _ := g.find(lane, variant, work, true) // joining never fails
	return r
}

// Join is Do for a caller that accepts the result of the current run, whatever its
// variant. If the lane has no run, Join starts one of work.
func (g *Group[Lane, Variant, Result]) Join(
	ctx context.Context, lane Lane, variant Variant, work func() (Result, error),
) (Result, error) {
	return g.Enter(lane, variant, work).Wait(ctx)
}

// Ask queues a run for a caller that does not need its result. If the queue is full, it does
// nothing.
func (g *Group[Lane, Variant, Result]) Ask(lane Lane, variant Variant, work func() (Result, error)) {
	_, _ = g.Queue(lane, variant, work)
}

// Wait returns when no lane has a run. No new run may be requested meanwhile.
func (g *Group[Lane, Variant, Result]) Wait() {
	g.runs.Wait()
}

// find returns the run that answers a caller who asks now, and queues or starts it if need be.
// With join, that may be the current run.
func (g *Group[Lane, Variant, Result]) find(
	lane Lane, variant Variant, work func() (Result, error), join bool,
) (*Run[Variant, Result], error) {
	g.mu.Lock()
	defer g.mu.Unlock()

	q := g.lanes[lane]
	if q != nil {
		if join {
			return q.current, nil
		}
		for _, r := range q.waiting {
			if r.variant == variant {
				return r, nil
			}
		}
		if len(q.waiting) >= maxWaiting {
			return nil, errFull
		}
	}

	r := &Run[Variant, Result]{variant: variant, work: work, done: make(chan struct{})}
	if q != nil {
		q.waiting = append(q.waiting, r)
		return r, nil
	}
	if g.lanes == nil {
		g.lanes = make(map[Lane]*queue[Variant, Result])
	}
	q = &queue[Variant, Result]{current: r}
	g.lanes[lane] = q
	g.runs.Go(func() { g.drain(lane, q) })
	return r, nil
}

// drain does the runs of a lane until none is left.
func (g *Group[Lane, Variant, Result]) drain(lane Lane, q *queue[Variant, Result]) {
	for r := q.current; r != nil; r = g.next(lane, q) {
		r.do()
	}
}

// next makes the first queued run the current one. If there is none, it removes the lane.
func (g *Group[Lane, Variant, Result]) next(lane Lane, q *queue[Variant, Result]) *Run[Variant, Result] {
	g.mu.Lock()
	defer g.mu.Unlock()

	if len(q.waiting) == 0 {
		delete(g.lanes, lane)
		return nil
	}
	q.current, q.waiting = q.waiting[0], q.waiting[1:]
	return q.current
}

func (r *Run[Variant, Result]) do() {
	defer close(r.done)
	defer func() {
		if v := recover(); v != nil {
			r.err = &panicError{value: v, stack: debug.Stack()}
		}
	}()
	r.result, r.err = r.work()
}

// Wait returns the result of the run. If ctx ends first, it returns the cause of its end, and
// the run goes on.
func (r *Run[Variant, Result]) Wait(ctx context.Context) (Result, error) {
	select {
	case <-r.done:
		return r.result, r.err
	case <-ctx.Done():
	}
	select {
	case <-r.done: // both have ended, and a result is better than an error
		return r.result, r.err
	default:
		var none Result
		return none, context.Cause(ctx)
	}
}
