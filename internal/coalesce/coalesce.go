// Package coalesce answers many equal questions with few runs, without ever
// answering one with something that was already known when it was asked.
//
// The usual tool for joining calls, singleflight, lets a caller share a run
// that is already going. For "bring me up to date" that is wrong: the run may
// have looked at the world before the caller's change was made. A [Group] lets
// a caller share only a run that has not begun yet:
//
//	caller A ──▶ run 1 ═══════════════▶
//	caller B ────────────▶ (waits)      run 2 ══════════▶
//	caller C ──────────────────▶ (joins B)
//
// So however many callers ask during run 1, one more run answers them all, and
// each of them gets the result of a run that began after it asked.
//
// Runs are kept apart by lane and by variant. In one lane there is never more
// than one run at a time, and runs begin in the order in which they were asked
// for. Callers share a run only if their variants are equal, because a run does
// what its own variant says. Lanes know nothing of each other.
//
// A caller that gives up does not stop the run: someone else may wait for it,
// and the work is worth having.
package coalesce

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
)

// maxWaiting is how many runs may be in line in one lane. Each has a variant of its own.
const maxWaiting = 16

// ErrFull is returned to a caller for whose run there is no room in line.
var ErrFull = errors.New("too many different requests are waiting already")

// Group runs functions, at most one at a time in each lane. Its zero value is
// ready for use; it must not be copied after the first use.
type Group[Lane, Variant comparable, Result any] struct {
	mu    sync.Mutex                       // guards lanes and everything in them but a run's result
	lanes map[Lane]*queue[Variant, Result] // a lane exists while a run is going in it
	runs  sync.WaitGroup                   // one for each lane that is going
}

// queue is a lane: the run that is going and those in line behind it.
type queue[Variant comparable, Result any] struct {
	going   *Run[Variant, Result]
	waiting []*Run[Variant, Result]
}

// Run is a run, for those who wait for it.
type Run[Variant comparable, Result any] struct {
	variant Variant
	work    func() (Result, error)
	done    chan struct{} // closed when result and err are final
	result  Result
	err     error
}

// PanicError is the error of a run whose function panicked. The lane goes on.
type PanicError struct {
	Value any    // what was passed to panic
	Stack []byte // where
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack)
}

// Do returns the result of a run of the lane and variant that begins after Do
// was called. That is a run that another caller is waiting for already, or else
// one of work, put at the end of the line. If that is full, the error is ErrFull.
//
// If ctx ends first, Do returns the cause of its end; the run is not affected.
func (g *Group[Lane, Variant, Result]) Do(
	ctx context.Context, lane Lane, variant Variant, work func() (Result, error),
) (Result, error) {
	r, err := g.Enter(lane, variant, work)
	if err != nil {
		var none Result
		return none, err
	}
	return r.Wait(ctx)
}

// Enter is the first half of Do: it finds a place in line, and waits for nothing. The
// other half is Wait.
func (g *Group[Lane, Variant, Result]) Enter(
	lane Lane, variant Variant, work func() (Result, error),
) (*Run[Variant, Result], error) {
	return g.enter(lane, variant, work, false)
}

// Join is Do for a caller to whom a run that is already going will do,
// whatever its variant. It waits for that one, or else starts one of work.
func (g *Group[Lane, Variant, Result]) Join(
	ctx context.Context, lane Lane, variant Variant, work func() (Result, error),
) (Result, error) {
	r, _ := g.enter(lane, variant, work, true) // there is a run, or no line
	return r.Wait(ctx)
}

// Ask is Do for a caller who wants the run, if there is room for it, but not its result.
func (g *Group[Lane, Variant, Result]) Ask(lane Lane, variant Variant, work func() (Result, error)) {
	_, _ = g.Enter(lane, variant, work)
}

// Wait returns when no run is going or waiting in any lane. Whoever calls it
// sees to it that no new ones are asked for.
func (g *Group[Lane, Variant, Result]) Wait() {
	g.runs.Wait()
}

// enter finds the run that answers a caller who asks now, or makes it.
func (g *Group[Lane, Variant, Result]) enter(
	lane Lane, variant Variant, work func() (Result, error), join bool,
) (*Run[Variant, Result], error) {
	g.mu.Lock()
	defer g.mu.Unlock()

	q := g.lanes[lane]
	if q != nil {
		if join {
			return q.going, nil
		}
		for _, r := range q.waiting {
			if r.variant == variant {
				return r, nil
			}
		}
		if len(q.waiting) >= maxWaiting {
			return nil, ErrFull
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
	q = &queue[Variant, Result]{going: r}
	g.lanes[lane] = q
	g.runs.Go(func() { g.drain(lane, q) })
	return r, nil
}

// drain runs what is in line in a lane until nothing is.
func (g *Group[Lane, Variant, Result]) drain(lane Lane, q *queue[Variant, Result]) {
	for r := q.going; r != nil; r = g.next(lane, q) {
		r.do()
	}
}

// next makes the first run in line the one that is going, or closes the lane.
func (g *Group[Lane, Variant, Result]) next(lane Lane, q *queue[Variant, Result]) *Run[Variant, Result] {
	g.mu.Lock()
	defer g.mu.Unlock()

	if len(q.waiting) == 0 {
		delete(g.lanes, lane)
		return nil
	}
	q.going, q.waiting = q.waiting[0], q.waiting[1:]
	return q.going
}

func (r *Run[Variant, Result]) do() {
	defer close(r.done)
	defer func() {
		if v := recover(); v != nil {
			r.err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	r.result, r.err = r.work()
}

// Wait returns the run's result, or the cause of the end of ctx if that comes first. The
// run is not affected.
func (r *Run[Variant, Result]) Wait(ctx context.Context) (Result, error) {
	select {
	case <-r.done:
		return r.result, r.err
	case <-ctx.Done():
	}
	select {
	case <-r.done: // both were ready: the result is worth more
		return r.result, r.err
	default:
		var none Result
		return none, context.Cause(ctx)
	}
}
