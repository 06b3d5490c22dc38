package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/pack"
	"github.com/reconquest/sould/internal/smarthttp"
)

// waitFor waits until something is over. The error is the cause of ctx's end.
func waitFor(ctx context.Context, over <-chan struct{}) error {
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// greetFirst answers the first question of a client whose mirror is being made.
func (s *Server) greetFirst(w http.ResponseWriter, r *http.Request, g *mirror.Growing) error {
	greeting, err := s.greetings.Get(r.Context(), 2, g.Refs().IDLength(), g.Advertise)
	if err != nil { // the mirror may have got its place in this moment
		ctx, end := conn.WhileAlive(r.Context(), s.life)
		defer end()
		if err := waitFor(ctx, g.Over()); err != nil {
			return err
		}
		return s.handleRefs(w, r)
	}
	setGitHeaders(w.Header(), smarthttp.Advertisement)
	_, err = conn.NewDeadlineWriter(w).Write(greeting.Early())
	return hungUp(err)
}

// serveFirst answers the next questions of such a client: with what is known already, or with what comes.
// If that is not all, the mirror answers when it stands.
func (s *Server) serveFirst(w *conn.DeadlineWriter, r *http.Request, g *mirror.Growing, body *smarthttp.Request) error {
	setGitHeaders(w.Header(), smarthttp.Result)
	if list, ok := git.ParseLsRefs(body.Reader(), g.Refs().IDLength()); ok {
		body.Close()
		return hungUp(list.Write(w, g.Refs()))
	}
	first := s.mirrors.packs.First(g, body, w)
	complete, err := s.sendFirst(w, r, first)
	if complete || err != nil {
		body.Close()
		if err == nil || w.Err != nil || r.Context().Err() != nil || w.Begun {
			return hungUp(err)
		}
		return err
	}
	m, err := s.found(r, g.Name)
	if reason := g.Err(); reason != nil && (err != nil || !first.Names(m.Snapshot().Listing)) {
		err = reason
	}
	if err != nil {
		body.Close()
		text := fmt.Errorf("sould can't make the mirror %s: %s", g.Name, errtext.Line(err.Error()))
		_, err = w.Write(git.ErrorPacket(text))
		return hungUp(err)
	}
	return s.answer(w, r, m, 2, body)
}

// sendFirst sends the pack as it comes, or tells of the progress: see pack.First.
func (s *Server) sendFirst(w *conn.DeadlineWriter, r *http.Request, first *pack.First) (complete bool, err error) {
	if err := s.conns.AcquireSend(); err != nil {
		return false, err
	}
	defer s.conns.ReleaseSend()
	ctx, end := conn.WhileAlive(r.Context(), s.life)
	defer end()
	w.Counting(&s.sent.Packs)
	return first.Send(ctx)
}
