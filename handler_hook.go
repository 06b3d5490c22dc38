package main

import (
	"errors"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/respond"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/webhook"
)

// hookPath begins the path of each hook.
const hookPath = "x/hook/"

// handleHook is POST /x/hook/<name>: a forge tells of a repository.
func (s *Server) handleHook(w http.ResponseWriter, r *http.Request) error {
	set := s.settings()
	name := strings.TrimPrefix(strings.Trim(r.URL.Path, "/"), hookPath)
	hook, ok := set.hook(name)
	if !ok {
		return fail(kindNotFound, "there is no hook %s in the configuration", errtext.Word(name, 100))
	}
	d, err := readDelivery(w, r, hook)
	if err == nil && d.Effect >= webhook.Changed {
		err = s.awaitMirrors(r)
	}
	if err != nil {
		s.deliveries.counts.Add(hook.Name, webhook.ResultOf(err))
		if statusOf(err) == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Signature") // of the body, by the hook's secret
		}
		return err
	}
	answer, result := s.deliver(set, hook, d)
	s.deliveries.counts.Add(hook.Name, result)
	if answer.err != nil {
		return answer.err
	}
	s.log.Info("webhook", "hook", hook.Name, "event", d.Name, "repository", errtext.Clip(d.Repository, 300), "delivery", d.ID,
		"result", string(result), "begun", errtext.Clip(answer.Begun(), 500))
	return respond.Document(w, r, answer.Status, &answer.Answer)
}

// readDelivery reads a request, whose body a forge may send slowly.
func readDelivery(w http.ResponseWriter, r *http.Request, hook webhook.Hook) (webhook.Delivery, error) {
	control := http.NewResponseController(w)
	d, err := hook.Read(r.Header, conn.NewPacedReader(r.Body, control))
	if err != nil {
		return d, err
	}
	return d, control.SetReadDeadline(time.Time{})
}

// awaitMirrors waits until the server knows which mirrors it has, for a moment: a forge that is told to
// come again may not do so.
func (s *Server) awaitMirrors(r *http.Request) error {
	const moment = 5 * time.Second
	select {
	case <-s.mirrors.store.Ready():
		return nil
	default:
	}
	timer := time.NewTimer(moment)
	defer timer.Stop()
	select {
	case <-s.mirrors.store.Ready():
		return nil
	case <-r.Context().Done():
		return r.Context().Err()
	case <-timer.C:
		return &tooEarly{&fault{kindUnavailable, errStarting}}
	}
}

// hookAnswer is the answer to a delivery, which may come several times.
type hookAnswer struct {
	over chan struct{} // closed when the rest is known
	webhook.Answer
	err error
}

// deliver does what a delivery asks for, once however often it comes.
func (s *Server) deliver(set *settings, hook webhook.Hook, d webhook.Delivery) (*hookAnswer, webhook.Result) {
	fresh := func() *hookAnswer { return &hookAnswer{over: make(chan struct{})} }
	answer, again := fresh(), false
	if d.Key != "" {
		answer, again = s.deliveries.recent.Enter(d.Key, time.Now(), fresh)
	}
	if again {
		<-answer.over
		return answer, webhook.Repeated
	}
	answer.Answer, answer.err = s.carryOut(set, hook, d)
	close(answer.over)
	switch {
	case answer.err != nil:
		s.deliveries.recent.Leave(d.Key)
		return answer, webhook.ResultOf(answer.err)
	case len(answer.Mirrors) == 0:
		return answer, webhook.Ignored
	default:
		return answer, webhook.Accepted
	}
}

// carryOut begins what a delivery asks for. If the server has no room for a step, the forge has to come
// again, and all steps are taken then. Any other error of one does not keep the rest from being taken.
func (s *Server) carryOut(set *settings, hook webhook.Hook, d webhook.Delivery) (webhook.Answer, error) {
	answer := webhook.NewAnswer(d)
	var name func(origin.Place) (storage.Name, origin.URL, bool)
	if hook.Create {
		name = set.tables.At
	}
	steps, err := d.Plan(s.hookMirrors(), name)
	switch {
	case errors.Is(err, webhook.ErrNoMirror):
		return answer, &fault{kindNotFound, hook.Refuse(d, err)}
	case err != nil:
		return answer, &fault{kindConflict, err}
	}
	by := mirror.ByWebhook + hook.Name
	for _, step := range steps {
		stepErr := s.takeStep(step, by)
		if errors.Is(stepErr, limiter.ErrBusy) {
			return answer, stepErr
		}
		if stepErr != nil {
			s.mirrors.store.Refuse(step.Name, by, stepErr)
			err = stepErr
		}
		answer.Add(step, stepErr)
	}
	if answer.Begun() != "" {
		return answer, nil // why the others have not begun, it tells
	}
	return answer, err
}

// hookMirrors are the mirrors that a delivery may be about.
func (s *Server) hookMirrors() iter.Seq[webhook.Mirror] {
	return func(yield func(webhook.Mirror) bool) {
		for m := range s.mirrors.store.Followed() {
			if !yield(webhook.Mirror(m)) {
				return
			}
		}
	}
}

// takeStep begins one step of a plan, and does not wait for it.
func (s *Server) takeStep(step webhook.Step, by string) error {
	if step.Action == webhook.Mark {
		return s.markGone(step, by)
	}
	_, err := s.command(mirror.Request{Name: step.Name, Origin: step.Origin, Move: step.Before, By: by, Own: step.Own})
	return err
}

// markGone has it written down that a mirror's origin was deleted. A pull of the mirror may have to end
// before.
func (s *Server) markGone(step webhook.Step, by string) error {
	if err := s.takePlace(0); err != nil {
		return err
	}
	at := time.Now()
	s.work.Go(func() {
		defer s.places.Release()
		if err := s.mirrors.store.MarkGone(s.life, step.Name, at, by); err != nil {
			s.log.Error("can't mark a mirror whose origin was deleted", "mirror", step.Name, "err", err)
			return
		}
		s.log.Warn("the origin of a mirror was deleted, and the mirror is kept", "mirror", step.Name, "origin", step.Origin, "by", by)
	})
	return nil
}
