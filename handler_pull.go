package main

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

const (
	formType    = "application/x-www-form-urlencoded"
	maxForm     = 64 << 10 // bytes of a POST's body
	bodyTimeout = 30 * time.Second
)

// noWait is the wait of a request that waits for the end of the work.
const noWait = time.Duration(-1)

var crossOrigin = http.NewCrossOriginProtection()

// handlePull is POST /: a repository has changed.
func (s *Server) handlePull(w http.ResponseWriter, r *http.Request) error {
	set := s.settings()
	if err := crossOrigin.Check(r); err != nil {
		return fail(kindForbidden, "a browser sent this from another site: %w", err)
	}
	form, err := readForm(w, r, &s.conns.coming)
	if err != nil {
		return err
	}
	req, wait, err := parsePull(form, set.unsecure)
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	if err := set.allowsOrigin(req.Origin); err != nil {
		return &fault{kindForbidden, err}
	}
	via, err := parseVia(r.Header.Get(viaHeader))
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	switch asking := r.Header.Get(peerHeader); asking {
	case "":
		if req.Wanted, err = askedAt(r.Header, via, s.mirrors.asksFor(req.Name, time.Now())); err != nil {
			return &fault{kindBadRequest, err}
		}
	case s.id:
		return &fault{kindLoop, errItself}
	default:
		req.OriginOnly = true
	}
	release, err := s.mirrors.Admit(set, req)
	if err != nil {
		return err
	}
	work, err := s.startPull(set, req, via, release)
	if err != nil {
		return busy(w, err)
	}
	var over <-chan time.Time
	if wait != noWait {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		over = timer.C
	}
	select { // whether the client is still there or not
	case <-work.done:
	case <-over:
	}
	return writeReport(w, r, work.report())
}

// readForm reads the fields of a request's body, and of nothing else.
func readForm(w http.ResponseWriter, r *http.Request, coming *atomic.Int64) (url.Values, error) {
	if kind := r.Header.Get("Content-Type"); kind != "" {
		if media, _, err := mime.ParseMediaType(kind); err != nil || media != formType {
			return nil, fail(kindMediaType, "the body must be %s, not %q", formType, clip(kind, 100))
		}
	}
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Now().Add(bodyTimeout)); err != nil {
		return nil, err
	}
	counted := &comingBody{Reader: http.MaxBytesReader(w, r.Body, maxForm), all: coming}
	defer counted.come()
	body, err := io.ReadAll(counted)
	if err != nil {
		return nil, busy(w, readError(err))
	}
	if err := control.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, fail(kindBadRequest, "the body is no form: %w", err)
	}
	return form, nil
}

func readError(err error) error {
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return fail(kindTooLarge, "the body has more than %d bytes", maxForm)
	}
	if errors.Is(err, errBusy) {
		return err
	}
	return fail(kindBadRequest, "can't read the body: %w", err)
}

// parsePull makes a request of the fields of a form.
func parsePull(form url.Values, allowLocal bool) (req pullRequest, wait time.Duration, err error) {
	field := func(name string) string {
		values := form[name]
		switch {
		case err != nil || len(values) == 0:
			return ""
		case len(values) > 1:
			err = fail(kindBadRequest, "the field %s is given %d times", name, len(values))
		}
		return values[0]
	}
	name, origin, move := field("name"), field("origin"), field("move")
	accept, waitFor := field("accept"), field("wait")
	if err != nil {
		return req, 0, err
	}
	if req.Name, err = ParseName(name); err != nil {
		return req, 0, err
	}
	if req.Origin, err = ParseOrigin(origin, allowLocal); err != nil {
		return req, 0, err
	}
	if move != "" {
		if req.Move, err = ParseOrigin(move, true); err != nil {
			return req, 0, fail(kindBadRequest, "move: %w", err)
		}
		req.Move.user, req.Move.password = "", ""
	}
	req.Accept = acceptance(accept)
	if accept != "" && req.Accept != acceptAll && !isFingerprint(accept) {
		return req, 0, fail(kindBadRequest, "accept=%.40q is unknown; accept=%s is known", accept, acceptAll)
	}
	wait = noWait
	if waitFor != "" {
		if wait, err = parseDuration(waitFor); err != nil || wait < 0 {
			return req, 0, fail(kindBadRequest, "wait=%.40q is no duration; write milliseconds (1500) or a unit (90s)", waitFor)
		}
	}
	return req, wait, nil
}

// startPull has this server and its slaves pull. The claim on the name is released when
// this server's part is done.
func (s *Server) startPull(set *settings, req pullRequest, via []string, release func()) (*posting, error) {
	onward := s.mirrors.withCredentials(set, req)
	work, err := s.start(set, req, via, func() (func() outcome, error) {
		run, err := s.mirrors.enter(set, req)
		return func() outcome {
			defer release()
			pulled, err := run.Wait(s.life)
			return ended(pulled, err)
		}, err
	}, func(slave Address, via []string) outcome {
		return propagate(s.life, set, slave, onward, via, set.Timeout)
	})
	if err != nil {
		release()
	}
	return work, err
}
