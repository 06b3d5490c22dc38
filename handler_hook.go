package main

import (
	"net/http"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/respond"
	"github.com/reconquest/sould/internal/webhook"
)

// hookPath begins the path of each hook.
const hookPath = "x/hook/"

// newHooks makes what does what deliveries of webhooks ask for.
func (s *Server) newHooks() *webhook.Receiver {
	return webhook.NewReceiver(webhook.Parts{
		Life: s.life, Store: s.mirrors.store, Log: s.log.Logger,
		Begin: func(req mirror.Request) error { _, err := s.command(req); return err },
		Place: s.mirrors.propagator.Place,
	})
}

// handleHook is POST /x/hook/<name>: a forge tells of a repository.
func (s *Server) handleHook(w http.ResponseWriter, r *http.Request) error {
	set := s.settings()
	name := strings.TrimPrefix(strings.Trim(r.URL.Path, "/"), hookPath)
	hook, ok := webhook.Find(set.Hooks, name)
	if !ok {
		return fail(kindNotFound, "there is no hook %s in the configuration", errtext.Word(name, 100))
	}
	read := func() (webhook.Delivery, error) { return readDelivery(w, r, hook) }
	answer, err := s.hooks.Receive(r.Context(), hook, read, set.tables.At)
	if err != nil {
		if statusOf(err) == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Signature") // of the body, by the hook's secret
		}
		return err
	}
	return respond.Document(w, r, answer.Status, answer)
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
