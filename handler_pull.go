package main

import (
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"sync"
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
	form, err := readForm(w, r)
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
		req.Revives = true
	case s.id:
		return &fault{kindLoop, errItself}
	default:
		req.OriginOnly = true
	}
	release, err := s.mirrors.Admit(set, req)
	if err != nil {
		return err
	}
	work := s.startPosting(set, req, via, release)
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
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	if kind := r.Header.Get("Content-Type"); kind != "" {
		if media, _, err := mime.ParseMediaType(kind); err != nil || media != formType {
			return nil, fail(kindMediaType, "the body must be %s, not %q", formType, clip(kind, 100))
		}
	}
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Now().Add(bodyTimeout)); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if err != nil {
		return nil, readError(err)
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

// posting is the work that a POST has started: the pull of this server and those
// of its slaves. It goes on when the client goes away.
type posting struct {
	req     pullRequest
	began   time.Time
	doing   func() *progress
	done    chan struct{} // closed when all is over
	mu      sync.Mutex    // guards all below
	outcome outcome
}

// startPosting starts the work, here and on all slaves at once. A request that has
// been here before, by way of its slaves, goes no further, nor does one of a server that
// asks for itself. The claim on the name is
// released when this server's part is done.
func (s *Server) startPosting(set *settings, req pullRequest, via []string, release func()) *posting {
	p := &posting{
		req: req, began: time.Now(), done: make(chan struct{}),
		doing:   func() *progress { return s.mirrors.Progress(req.Name) },
		outcome: outcome{State: stateProcessing},
	}
	var parts sync.WaitGroup
	if set.Master && !req.OriginOnly && !slices.Contains(via, s.id) {
		p.outcome.Slaves = make([]outcome, len(set.Slaves))
		onward := s.mirrors.withCredentials(set, req)
		for i, slave := range set.Slaves {
			p.outcome.Slaves[i] = outcome{Address: slave.String(), State: stateProcessing}
			parts.Go(func() {
				o := propagate(s.life, set, slave, onward, append(slices.Clip(via), s.id), set.Timeout)
				p.note(func(all *outcome) { all.Slaves[i] = o })
				if o.State == stateFailed {
					s.repairs.Missed(slave)
				}
			})
		}
	}
	parts.Go(func() {
		defer release()
		pulled, err := s.mirrors.Pull(s.life, set, req)
		var o outcome
		if took := time.Since(p.began); err != nil {
			o = failed(err, took)
		} else {
			o = succeeded(pulled, took)
		}
		p.note(func(all *outcome) { o.Slaves = all.Slaves; *all = o })
	})
	s.work.Go(func() {
		parts.Wait()
		p.log(s.log) // before the answer: who has that finds it in the log
		close(p.done)
	})
	return p
}

func (p *posting) note(change func(*outcome)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.outcome)
}

// report is what is known now.
func (p *posting) report() *report {
	p.mu.Lock()
	o := p.outcome
	o.Slaves = append([]outcome(nil), o.Slaves...)
	p.mu.Unlock()
	if o.State == stateProcessing {
		o.Progress = "waiting to begin"
		if now := p.doing(); now != nil {
			o.Progress = now.String()
		}
	}
	return &report{
		Name: p.req.Name.String(), Origin: p.req.Origin.String(),
		Status: verdict(o, o.Slaves), outcome: o, waited: time.Since(p.began),
	}
}

// log tells what became of the slaves. Of this server's own pull the log knows.
func (p *posting) log(log *slog.Logger) {
	r := p.report()
	if len(r.Slaves) == 0 {
		return
	}
	log = log.With("mirror", r.Name, "slaves", len(r.Slaves), "status", r.Status, "seconds", seconds(r.waited))
	if r.Status == http.StatusOK {
		log.Info("propagated")
		return
	}
	log.Error("not on all servers", slog.String(treeKey, r.String()))
}
