// Package uploadpack answers git clients that clone or fetch over HTTP, in the place of git upload-pack
// (gitprotocol-http(5), gitprotocol-v2(5)).
//
//	uploadpack.go   who answers, and what all answers have in common
//	refs.go         the first question, and lists of refs
//	greetings.go    what git says first of itself, kept
//	fetch.go        the questions that follow
//	bundleuri.go    the bundle with which a client may begin
//	pack.go         a pack, and how its answer ends if it fails
//	sender.go       sends what git says
//	early.go        answers about a mirror that is being made
//	first.go        its pack, while it comes
//
// The first two questions, what the server can do and which refs there are, are answered from a
// snapshot of the mirror, in git's own words: no process, and all refs of one pull. What a client
// wants and has is taken in as a whole before git is started for it. The pack comes from a spool, so
// that nobody waits for a client that reads slowly. A client learns of a failure by a status as long as
// nothing was sent; then in git's own words, which it shows; and if it is too late for those, by
// breaking off.
//
// About a mirror that is still being made there are early answers: its refs as soon as they are known,
// and its pack while it comes.
package uploadpack

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/pack"
	"github.com/reconquest/sould/internal/respond"
	"github.com/reconquest/sould/internal/smarthttp"
	"github.com/reconquest/sould/internal/storage"
)

// Content types of answers (gitprotocol-http(5)).
const (
	advertisement = "application/x-git-upload-pack-advertisement" // to the first question
	result        = "application/x-git-upload-pack-result"        // to those that follow
)

// Service answers git clients. Its methods are safe for concurrent use. They return an error only if
// nothing was written, and panic with http.ErrAbortHandler to break an answer off.
type Service struct {
	Parts
	requests  *smarthttp.Reader
	greetings *greetings
}

// Parts are what a service works with.
type Parts struct {
	Incoming string // the directory for large requests
	Packs    *pack.Maker
	Conns    *conn.Limiter
	Sent     *atomic.Uint64 // counts the bytes of packs
	Log      *slog.Logger
	Life     context.Context // of the server: answers end with it

	// Find finds, for a client, a mirror that was made while the client waited.
	Find func(*http.Request, storage.Name) (*mirror.Mirror, error)
}

// New returns a service.
func New(parts Parts) *Service {
	return &Service{parts, smarthttp.NewReader(parts.Incoming, &parts.Conns.Bodies), newGreetings()}
}

// Forget forgets what git can do, because another git may be installed now.
func (s *Service) Forget() { s.greetings.forget() }

// exchange is a question of a client, and the answer to it.
type exchange struct {
	*Service
	w       *conn.DeadlineWriter
	r       *http.Request
	version int  // of the protocol
	peer    bool // another server of the cluster asks, for which there are places of its own
}

func (s *Service) exchange(w http.ResponseWriter, r *http.Request, peer bool) *exchange {
	return &exchange{s, conn.NewDeadlineWriter(w), r, smarthttp.Version(r.Header["Git-Protocol"]), peer}
}

// context ends when the client or the server goes. The caller must call end.
func (e *exchange) context() (ctx context.Context, end func()) {
	return conn.WhileAlive(e.r.Context(), e.Life)
}

// work does work of git for the client when there is a place for it.
func (e *exchange) work(m *mirror.Mirror, do func(context.Context) error) error {
	ctx, end := e.context()
	defer end()
	release, err := e.Packs.Acquire(ctx, m, e.peer)
	if err != nil {
		return err
	}
	defer release()
	return do(ctx)
}

var revalidated, nosniff = []string{"no-cache"}, []string{"nosniff"} // shared by all answers

// setType writes the headers of every answer.
func (e *exchange) setType(contentType string) {
	header := e.w.Header()
	header["Cache-Control"] = revalidated
	header["Content-Type"] = []string{contentType}
	header["X-Content-Type-Options"] = nosniff
}

// setState writes the headers of an answer about a mirror, and returns the snapshot that they are about.
func (e *exchange) setState(m *mirror.Mirror, contentType string) *mirror.Snapshot {
	snap := m.Snapshot()
	respond.SetState(e.w.Header(), snap)
	e.setType(contentType)
	return snap
}

// send sends what is short enough to be at hand as a whole.
func (e *exchange) send(answer []byte) error {
	_, err := e.w.Write(answer)
	return whole(err)
}

// whole breaks off an answer that could not be sent whole.
func whole(err error) error {
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}
