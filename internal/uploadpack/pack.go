package uploadpack

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/smarthttp"
	"github.com/reconquest/sould/internal/spool"
)

// sendPack has git answer a request, and passes on what it says as it says it. Git does
// not wait for the client. It closes the request.
func (e *exchange) sendPack(m *mirror.Mirror, request *smarthttp.Request) error {
	if !e.peer { // who waits counts as well
		if err := e.Conns.AcquireSend(); err != nil {
			request.Close()
			return err
		}
		defer e.Conns.ReleaseSend()
	}
	m.BeginUse()
	defer m.EndUse()
	e.w.Counting(e.Sent)
	ctx, end := e.context()
	defer end()
	growing, err := e.Packs.Get(m, e.version, request, e.peer)
	if err != nil {
		return err
	}
	defer growing.Close()
	out := &sender{DeadlineWriter: e.w}
	if growing.IsFile() {
		if err := out.sendFile(growing); err != nil {
			return err
		}
		return whole(out.Err)
	}
	if err = out.follow(ctx, growing); err == io.EOF {
		return nil
	}
	return e.fail(m, out, ctx.Err() != nil, err)
}

// ending is how a client learns that there is no answer, or no more of it.
type ending int

const (
	byStatus   ending = iota // nothing was sent yet
	bySaying                 // in git's own words, which the client takes at any time
	asSaid                   // what was sent says so
	byBreaking               // it is too late for anything else
)

// endingOf decides how an answer ends that fails with err. begun is whether something of it was sent,
// refusal whether that is an error in git's own words, and writable whether more can be sent.
func endingOf(begun, refusal, writable bool, err error) ending {
	switch {
	case !begun:
		return byStatus
	case refusal:
		return asSaid
	case writable && (git.IsRequestError(err) || errors.Is(err, limiter.ErrBusy)):
		return bySaying
	default:
		return byBreaking
	}
}

// fail tells a client that git has failed, or that it was given up. ended is whether client or server
// are about to go.
func (e *exchange) fail(m *mirror.Mirror, out *sender, ended bool, err error) error {
	log := e.Log.With("mirror", m.Name, "client", e.r.RemoteAddr)
	if id := git.UnknownObject(err); id != "" && refs.Names(m.Snapshot().Listing, id) { // it was shown to the client
		log.Error("can't make a pack", "err", err)
		m.Suspect(fmt.Errorf("%w: %w", git.ErrDamaged, err))
	}
	how, theirs := endingOf(out.Begun, out.refusal, out.Err == nil, err), git.IsRequestError(err)
	switch {
	case how == bySaying:
		return e.send(git.ErrorPacket(err))
	case how == byStatus && errors.Is(err, limiter.ErrBusy):
		return err
	case how == byStatus && theirs:
		return &smarthttp.Error{Kind: smarthttp.Malformed, Err: err}
	case how == asSaid && theirs:
		return nil
	}
	m.Suspect(err)
	switch how {
	case byStatus:
		return fmt.Errorf("can't make a pack: %w", err)
	case asSaid: // the client knows, and here is why
		log.Error("can't make a pack", "err", err)
		return nil
	}
	switch {
	case errors.Is(out.Err, os.ErrDeadlineExceeded):
		log.Info("the client has read nothing for too long")
	case errors.Is(err, spool.ErrTooSlow):
		log.Warn("gave up a clone", "err", err)
	case out.Err == nil && !ended:
		log.Error("clone broken off", "err", err)
	}
	panic(http.ErrAbortHandler)
}
