package main

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/propagate"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/requestlog"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/why"
)

// maxForm bounds the body of a POST, in bytes.
const maxForm = 64 << 10

var crossOrigin = http.NewCrossOriginProtection()

// handlePull is POST /: a repository has changed.
func (s *Server) handlePull(w http.ResponseWriter, r *http.Request) error {
	set := s.settings()
	if err := crossOrigin.Check(r); err != nil {
		return fail(kindForbidden, "a browser sent this from another site: %w", err)
	}
	form, err := readForm(w, r, &s.conns.Bodies)
	if err != nil {
		return err
	}
	trace, err := requestlog.TraceOf(r)
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	if err := set.tables.AddOrigin(form); err != nil {
		return &fault{kindBadRequest, err}
	}
	if err := checkFields(form, r.URL.Query()); err != nil {
		return err
	}
	asked, err := protocol.ParsePull(form, set.unsecure)
	if err != nil {
		return s.refuse(set, r, trace, asked.Name, &fault{kindBadRequest, err})
	}
	if err := set.originPolicy().Check(asked.Origin); err != nil {
		return s.refuse(set, r, trace, asked.Name, &fault{kindForbidden, err})
	}
	req := mirror.Request{ID: trace.ID, Name: asked.Name, Origin: asked.Origin, Move: asked.Move, Accept: asked.Accept, By: sender(r, trace)}
	switch asking := r.Header.Get(protocol.PeerHeader); asking {
	case "":
		req.Wanted, err = protocol.AskedAt(r.Header, trace, s.mirrors.store.NextIntent(req.Name, time.Now()))
		if err != nil {
			return &fault{kindBadRequest, err}
		}
	case s.id:
		return fail(kindLoop, "the server that asks has the same id as this one: it is this one, or one of the two storages is a copy of the other")
	default:
		req.OriginOnly = true
	}
	words := req
	words.Wanted, words.By = time.Time{}, "" // the same in all copies, but for those of a client's request
	p, err := s.commands.Begin(trace, words, func(first bool) (*propagate.Propagation, error) {
		told := propagate.Told{Progress: asked.Progress, Why: set.whyLink(r, trace, req.Name)}
		return s.mirrors.propagator.Pull(req, trace, set.onward(first && !req.OriginOnly), told)
	})
	if errors.Is(err, cluster.ErrElsewhere) {
		return writeReport(w, r, protocol.Repeated(s.id))
	}
	if err != nil {
		return s.refuse(set, r, trace, req.Name, err)
	}
	return p.Answer(w, r, asked)
}

// refuse remembers that a request was refused, for those who ask why. The error it returns tells the
// client where to ask, unless nothing else is known of the name.
func (s *Server) refuse(set *settings, r *http.Request, trace protocol.Trace, name storage.Name, err error) error {
	if name == (storage.Name{}) {
		return err
	}
	s.mirrors.store.Refuse(name, sender(r, trace), err)
	if !s.mirrors.insight.Knows(name) {
		return err
	}
	return &explained{err, set.whyLink(r, trace, name)}
}

// sender says who has sent a request, for people. A server of the cluster sends on what somebody has
// asked of it.
func sender(r *http.Request, trace protocol.Trace) string {
	if !trace.FromClient() || isPeer(r) {
		return mirror.ByServer + " (" + address(r) + ")"
	}
	return address(r)
}

// whyLink is where a client that fails is told why; empty for another server.
func (s *settings) whyLink(r *http.Request, trace protocol.Trace, name storage.Name) string {
	if !trace.FromClient() {
		return ""
	}
	return why.Link(s.baseURL(r), name.String())
}

// checkFields checks that a form has what every POST needs. query is that of the request, which is
// not read for anything else: what stands there shows what the client has misunderstood.
func checkFields(form, query url.Values) error {
	var missing []string
	inQuery := false
	for _, field := range []string{"name", "origin"} {
		if form.Get(field) == "" {
			missing = append(missing, field)
			inQuery = inQuery || query.Has(field)
		}
	}
	what := strings.Join(missing, " and ")
	switch {
	case len(missing) == 0:
		return nil
	case inQuery:
		return fail(kindBadRequest, "%s must be in the body of the POST, and not in its URL: %s", what, postExample)
	default:
		return fail(kindBadRequest, "the body of the POST lacks %s: %s", what, postExample)
	}
}

// postExample shows who has sent a wrong POST a right one.
const postExample = `curl --data "name=my/mirror&origin=https://git.example/my.git" http://<this server>/`

// readForm reads the fields of a request's body, and of nothing else.
func readForm(w http.ResponseWriter, r *http.Request, bodies *conn.Budget) (url.Values, error) {
	if kind := r.Header.Get("Content-Type"); kind != "" {
		if media, _, err := mime.ParseMediaType(kind); err != nil || media != protocol.FormType {
			return nil, fail(kindMediaType, "the body must be %s, not %q: %s", protocol.FormType, errtext.Word(kind, 100), postExample)
		}
	}
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Now().Add(conn.BodyTimeout)); err != nil {
		return nil, err
	}
	counted := bodies.Count(http.MaxBytesReader(w, r.Body, maxForm))
	defer counted.Done()
	body, err := io.ReadAll(counted)
	if err != nil {
		return nil, readError(err)
	}
	if err := control.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, fail(kindBadRequest, "the body is not a form (%s): %w", protocol.FormType, err)
	}
	return form, nil
}

func readError(err error) error {
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return fail(kindTooLarge, "the body has more than %d bytes", maxForm)
	}
	if errors.Is(err, limiter.ErrBusy) {
		return err
	}
	return fail(kindBadRequest, "can't read the body: %w", err)
}
