package webhook

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/coalesce"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
)

// Parts are what a receiver is made of.
type Parts struct {
	Life  context.Context // of what goes on when a delivery is answered
	Store *mirror.Store
	Log   *slog.Logger

	// Begin has this server and its slaves do what a POST of the request would, and does not wait for it.
	// The error is limiter.ErrBusy, or says why the request is refused.
	Begin func(mirror.Request) error

	// Place takes a place for work of this server alone. The error is limiter.ErrBusy.
	Place func() (release func(), err error)
}

// Receiver does what deliveries ask for. Its methods are safe for concurrent use.
type Receiver struct {
	Counts Counts

	parts  Parts
	recent coalesce.Recent[*done]
	work   sync.WaitGroup // marks that are being written
}

// NewReceiver returns a receiver.
func NewReceiver(parts Parts) *Receiver { return &Receiver{parts: parts} }

// Wait returns when nothing is at work. No delivery may come meanwhile.
func (r *Receiver) Wait() { r.work.Wait() }

// done is what was done for a delivery, which may come several times.
type done struct {
	over   chan struct{} // closed when the rest is known
	answer Answer
	err    error
}

// Namer finds a name and an origin for a repository that has no mirror.
type Namer func(origin.Place) (name storage.Name, from origin.URL, ok bool)

// Receive reads a delivery of a hook, and begins what it asks for, once however often it comes. name is for
// hooks that create mirrors. The error is that of read, an *Error, a *[mirror.TooEarly], ErrNoMirror, or
// that of a step. The answer may be another one's, too: it must not be changed.
func (r *Receiver) Receive(ctx context.Context, hook Hook, read func() (Delivery, error), name Namer) (*Answer, error) {
	d, err := read()
	if err == nil && d.Effect >= Changed {
		err = r.parts.Store.AwaitReady(ctx, readyTime)
	}
	if err != nil {
		r.Counts.add(hook.Name, resultOf(err))
		return nil, err
	}
	did, result := r.carryOutOnce(hook, d, name)
	r.Counts.add(hook.Name, result)
	if did.err != nil {
		return nil, did.err
	}
	r.parts.Log.Info("webhook", "hook", hook.Name, "event", d.Name, "repository", errtext.Clip(d.Repository, maxShown), "delivery", d.ID,
		"result", string(result), "begun", errtext.Clip(did.answer.begun(), maxBegun))
	return &did.answer, nil
}

// readyTime is how long a delivery waits until the server knows which mirrors it has: a forge that is told
// to come again may not do so.
const readyTime = 5 * time.Second

// maxBegun bounds what the log says of the mirrors of a delivery, in bytes.
const maxBegun = 500

// errCutShort is what copies of a delivery get for which a defect has ended the work.
var errCutShort = errors.New("a defect of this server has ended the work on this delivery")

// carryOutOnce carries out a delivery, or waits for the one that came first.
func (r *Receiver) carryOutOnce(hook Hook, d Delivery, name Namer) (*done, Result) {
	fresh := func() *done { return &done{over: make(chan struct{})} }
	did, again := fresh(), false
	if d.Key != "" {
		did, again = r.recent.Enter(d.Key, time.Now(), fresh)
	}
	if again {
		<-did.over
		return did, Repeated
	}
	did.err = errCutShort // until it is known
	defer func() {
		if did.err != nil {
			r.recent.Leave(d.Key)
		}
		close(did.over)
	}()
	did.answer, did.err = r.carryOut(hook, d, name)
	switch {
	case did.err != nil:
		return did, resultOf(did.err)
	case len(did.answer.Mirrors) == 0:
		return did, Ignored
	default:
		return did, Accepted
	}
}

// carryOut begins what a delivery asks for. If the server has no room for a step, the forge has to come
// again, and all steps are taken then. Any other error of one does not keep the rest from being taken.
func (r *Receiver) carryOut(hook Hook, d Delivery, name Namer) (Answer, error) {
	answer := newAnswer(d)
	if !hook.Create {
		name = nil
	}
	steps, err := d.Plan(r.parts.Store.Followed(), name)
	if err != nil {
		return answer, hook.refuse(d, err)
	}
	by := mirror.ByWebhook + hook.Name
	for _, step := range steps {
		stepErr := r.take(step, by)
		if errors.Is(stepErr, limiter.ErrBusy) {
			return answer, stepErr
		}
		if stepErr != nil {
			r.parts.Store.Refuse(step.Name, by, stepErr)
			err = stepErr
		}
		answer.add(step, stepErr)
	}
	if answer.begun() != "" {
		return answer, nil // why the others have not begun, it tells
	}
	return answer, err
}

// take begins one step of a plan, and does not wait for it.
func (r *Receiver) take(step Step, by string) error {
	if step.Action == Mark {
		return r.markGone(step, by)
	}
	return r.parts.Begin(mirror.Request{Name: step.Name, Origin: step.Origin, Move: step.Before, By: by, Own: step.Own})
}

// markGone has it written down that a mirror's origin was deleted. A pull of the mirror may have to end
// before.
func (r *Receiver) markGone(step Step, by string) error {
	release, err := r.parts.Place()
	if err != nil {
		return err
	}
	at, log := time.Now(), r.parts.Log
	r.work.Go(func() {
		defer release()
		if err := r.parts.Store.MarkGone(r.parts.Life, step.Name, at, by); err != nil {
			log.Error("can't mark a mirror whose origin was deleted", "mirror", step.Name, "err", err)
			return
		}
		log.Warn("the origin of a mirror was deleted, and the mirror is kept", "mirror", step.Name, "origin", step.Origin, "by", by)
	})
	return nil
}
