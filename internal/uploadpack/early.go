package uploadpack

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/smarthttp"
)

// EarlyRefs answers the first question of a client about a mirror that is being made. It is for version
// 2 of the protocol: the others have no words for what goes on. answered is false if there was nothing
// to answer with; then the mirror stands, or cannot be made. The error is the cause of the end of the
// request or of the server.
func (s *Service) EarlyRefs(w http.ResponseWriter, r *http.Request, g *mirror.Growing) (answered bool, err error) {
	e := s.exchange(w, r, false)
	greeting, err := s.greetings.get(r.Context(), e.version, g.Refs().IDLength(), g.Advertise)
	if err != nil { // the mirror may have got its place in this moment
		ctx, end := e.context()
		defer end()
		return false, waitFor(ctx, g.Over())
	}
	e.setType(advertisement)
	return true, e.send(greeting.Early())
}

// waitFor waits until something is over. The error is the cause of ctx's end.
func waitFor(ctx context.Context, over <-chan struct{}) error {
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// EarlyFetch answers the next questions of such a client: with what is known already, or with what comes.
// If that is not all, the mirror answers when it stands.
func (s *Service) EarlyFetch(w http.ResponseWriter, r *http.Request, g *mirror.Growing) error {
	request, err := s.requests.Read(w, r)
	if err != nil {
		return err
	}
	e := s.exchange(w, r, false)
	e.setType(result)
	if list, ok := git.ParseLsRefs(request.Reader(), g.Refs().IDLength()); ok {
		request.Close()
		return whole(list.Write(e.w, g.Refs()))
	}
	first := newFirst(g, request, e.w, s.Packs.Passed)
	complete, err := e.sendFirst(first)
	if complete || err != nil {
		request.Close()
		if err == nil || e.w.Err != nil || r.Context().Err() != nil || e.w.Begun {
			return whole(err)
		}
		return err
	}
	m, err := s.Find(r, g.Name)
	if reason := g.Err(); reason != nil && (err != nil || !first.names(m.Snapshot().Listing)) {
		err = reason
	}
	if err != nil {
		request.Close()
		return e.send(git.ErrorPacket(fmt.Errorf("sould can't make the mirror %s: %s", g.Name, errtext.Line(err.Error()))))
	}
	return e.answerLate(m, request)
}

// answerLate is answer for a client that may have heard of the progress already, so that it is too late for
// a status.
func (e *exchange) answerLate(m *mirror.Mirror, request *smarthttp.Request) error {
	err := e.answer(m, request)
	if err == nil || !e.w.Begun {
		return err
	}
	e.Log.Error("can't answer", "mirror", m.Name, "client", e.r.RemoteAddr, "err", err)
	return e.send(git.ErrorPacket(errors.New(errtext.Line(err.Error()))))
}

// sendFirst sends the pack as it comes, or tells of the progress: see first.send.
func (e *exchange) sendFirst(first *first) (complete bool, err error) {
	if err := e.Conns.AcquireSend(); err != nil {
		return false, err
	}
	defer e.Conns.ReleaseSend()
	ctx, end := e.context()
	defer end()
	e.w.Counting(e.Sent)
	return first.send(ctx)
}
