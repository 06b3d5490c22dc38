package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/pack"
	"github.com/reconquest/sould/internal/pktline"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/respond"
	"github.com/reconquest/sould/internal/smarthttp"
	"github.com/reconquest/sould/internal/spool"
)

// routeGit finds who answers a git client.
func (s *Server) routeGit(method, path string) (answer handler, allow string) {
	if strings.HasSuffix(path, smarthttp.RefsPath) {
		if method == http.MethodGet || method == http.MethodHead {
			return s.handleRefs, ""
		}
		return nil, "GET, HEAD"
	}
	switch {
	case method != http.MethodPost:
		return nil, "POST"
	case strings.HasSuffix(path, smarthttp.PushPath):
		return s.handlePush, ""
	default:
		return s.handleFetch, ""
	}
}

// handlePush refuses what would change a mirror.
func (s *Server) handlePush(http.ResponseWriter, *http.Request) error {
	return fail(kindForbidden, "mirrors are read-only: push to the origin instead")
}

// handleRefs is GET /<name>/info/refs: a client's first question. It pulls first, by
// the rule that holds for archives; what the client asks next is answered with what is
// there then.
func (s *Server) handleRefs(w http.ResponseWriter, r *http.Request) error {
	service, err := smarthttp.Service(r.URL.RawQuery)
	if err != nil {
		return err
	}
	if service == "git-receive-pack" {
		return s.handlePush(w, r)
	}
	found, err := s.cloned(r, strings.TrimSuffix(r.URL.Path, smarthttp.RefsPath))
	switch {
	case err != nil:
		return err
	case found.growing != nil:
		return s.greetFirst(w, r, found.growing)
	}
	m := found.mirror
	if !found.fresh && !isPeer(r) {
		m.Refresh(r.Context(), smarthttp.WantsFresh(r.Header))
	}
	snap := setCloneHeaders(w.Header(), m, smarthttp.Advertisement)
	version := smarthttp.Version(r.Header["Git-Protocol"])
	steady := conn.NewDeadlineWriter(w)
	if snap.IDLength() == 0 || snap.Shallow { // what is known of it is not all
		advert, err := s.advertise(r, m, version)
		if err != nil {
			m.Suspect(err)
			return fmt.Errorf("can't list the refs: %w", err)
		}
		_, err = steady.Write(append([]byte(smarthttp.Preface(version)), advert...))
		return hungUp(err)
	}
	greeting, err := s.greetings.Get(r.Context(), version, snap.IDLength(), m.Advertise)
	if err != nil {
		m.Suspect(err)
		return fmt.Errorf("can't find out how git greets a client: %w", err)
	}
	if _, err = io.WriteString(steady, smarthttp.Preface(version)); err == nil {
		err = greeting.Write(steady, snap.Listing, s.offered(r, m)...)
	}
	return hungUp(err)
}

// offered is what this server can do for a client that git itself cannot.
func (s *Server) offered(r *http.Request, m *mirror.Mirror) (capabilities []string) {
	if !isPeer(r) && s.mirrors.packs.Offers.Ready(m) != "" {
		capabilities = append(capabilities, smarthttp.BundleURI)
	}
	return capabilities
}

// handleFetch is POST /<name>/git-upload-pack: what a client wants and has. It pulls
// nothing: it is about what the client was shown before.
func (s *Server) handleFetch(w http.ResponseWriter, r *http.Request) error {
	found, err := s.cloned(r, strings.TrimSuffix(r.URL.Path, smarthttp.FetchPath))
	if err != nil {
		return err
	}
	body, err := s.clones.Read(w, r)
	if err != nil {
		return err
	}
	if err := pktline.Check(body.Reader()); err != nil {
		body.Close()
		return fail(kindBadRequest, "the body: %w", err)
	}
	steady := conn.NewDeadlineWriter(w)
	if found.growing != nil {
		return s.serveFirst(steady, r, found.growing, body)
	}
	return s.answer(steady, r, found.mirror, smarthttp.Version(r.Header["Git-Protocol"]), body)
}

// answer answers a request about a mirror, and closes it.
func (s *Server) answer(steady *conn.DeadlineWriter, r *http.Request, m *mirror.Mirror, version int, body *smarthttp.Request) (err error) {
	if version == 2 {
		if err := s.ensureContained(r, m, body); err != nil {
			body.Close()
			return s.sayError(steady, m, err)
		}
	}
	snap := setCloneHeaders(steady.Header(), m, smarthttp.Result)
	switch {
	case version == 2 && body.Is("ls-refs"):
	case version == 2 && body.Is(smarthttp.BundleURI):
		body.Close()
		_, err = steady.Write(smarthttp.BundleList(m.Name, s.mirrors.packs.Offers.Ready(m)))
		return hungUp(err)
	default:
		return s.servePack(steady, r, m, version, body)
	}
	defer body.Close()
	if list, ok := git.ParseLsRefs(body.Reader(), snap.IDLength()); ok {
		return hungUp(list.Write(steady, snap.Listing))
	}
	answer, err := s.list(r, m, body)
	if err != nil {
		m.Suspect(err)
		return fmt.Errorf("can't list the refs: %w", err)
	}
	_, err = steady.Write(answer)
	return hungUp(err)
}

// ensureContained makes sure that the mirror holds the commit that a client insists on, or returns
// why it does not.
func (s *Server) ensureContained(r *http.Request, m *mirror.Mirror, body *smarthttp.Request) error {
	commit, err := body.Contains()
	if commit == "" || err != nil {
		return err
	}
	ok, err := m.EnsureHeld(r.Context(), commit)
	if err == nil && !ok {
		err = fail(kindUnsatisfied, "the mirror does not hold %s", commit)
	}
	return err
}

// sayError tells a git client what is wrong with its request in git's own form: of another status
// than 200 git shows the number alone.
func (s *Server) sayError(w *conn.DeadlineWriter, m *mirror.Mirror, err error) error {
	if statusOf(err) >= http.StatusInternalServerError {
		return err
	}
	setCloneHeaders(w.Header(), m, smarthttp.Result)
	_, err = w.Write(git.ErrorPacket(err))
	return hungUp(err)
}

// servePack has git answer a request, and passes on what it says as it says it. Git does
// not wait for the client.
func (s *Server) servePack(w *conn.DeadlineWriter, r *http.Request, m *mirror.Mirror, version int, body *smarthttp.Request) error {
	peer := isPeer(r)
	if !peer { // who waits counts as well
		if err := s.conns.AcquireSend(); err != nil {
			body.Close()
			return err
		}
		defer s.conns.ReleaseSend()
	}
	m.BeginUse()
	defer m.EndUse()
	w.Counting(&s.sent.Packs)
	ctx, end := conn.WhileAlive(r.Context(), s.life)
	defer end()
	growing, err := s.mirrors.packs.Get(m, version, body, peer)
	if err != nil {
		return err
	}
	defer growing.Close()
	sender := &pack.Sender{DeadlineWriter: w}
	if growing.IsFile() {
		if err := sender.SendFile(growing); err != nil {
			return err
		}
		return hungUp(w.Err)
	}
	switch err = sender.Follow(ctx, growing); {
	case err == io.EOF:
		return nil
	case !w.Begun && errors.Is(err, limiter.ErrBusy):
		return err
	case errors.Is(err, limiter.ErrBusy): // it has waited for the mirror before
		_, err = w.Write(git.ErrorPacket(err))
		return hungUp(err)
	default:
		return packFailed(sender, s.log.With("mirror", m.Name, "client", r.RemoteAddr), m, ctx.Err() != nil, err)
	}
}

// packFailed tells a client that git has failed, or that it was given up: by a status, in git's
// own words or, if there are none and it is too late for a status, by breaking off. ended is
// whether client or server are about to go.
func packFailed(w *pack.Sender, log *slog.Logger, m *mirror.Mirror, ended bool, err error) error {
	if id := git.UnknownObject(err); id != "" && refs.Names(m.Snapshot().Listing, id) { // it was shown to the client
		log.Error("can't make a pack", "err", err)
		m.Suspect(fmt.Errorf("%w: %w", git.ErrDamaged, err))
	}
	switch {
	case w.Refusal && git.IsRequestError(err):
		return nil
	case !w.Begun && git.IsRequestError(err):
		return &fault{kindBadRequest, err}
	case w.Err == nil && git.IsRequestError(err): // git has said something before it looked
		_, err = w.Write(git.ErrorPacket(err))
		return hungUp(err)
	}
	m.Suspect(err)
	switch {
	case !w.Begun:
		return fmt.Errorf("can't make a pack: %w", err)
	case w.Refusal: // the client knows, and here is why
		log.Error("can't make a pack", "err", err)
		return nil
	}
	switch {
	case errors.Is(w.Err, os.ErrDeadlineExceeded):
		log.Info("the client has read nothing for too long")
	case errors.Is(err, spool.ErrTooSlow):
		log.Warn("gave up a clone", "err", err)
	case w.Err == nil && !ended:
		log.Error("clone broken off", "err", err)
	}
	panic(http.ErrAbortHandler)
}

// isPeer reports whether another server of the cluster asks.
func isPeer(r *http.Request) bool { return r.Header.Get(protocol.PeerHeader) != "" }

// advertise has git list a mirror's refs, all of one pull.
func (s *Server) advertise(r *http.Request, m *mirror.Mirror, version int) (advert []byte, err error) {
	err = s.inPlace(r, m, func(ctx context.Context) error {
		advert, err = m.Advertise(ctx, version)
		return err
	})
	return advert, err
}

// inPlace does work for a client when there is a place for it.
func (s *Server) inPlace(r *http.Request, m *mirror.Mirror, work func(ctx context.Context) error) error {
	ctx, end := conn.WhileAlive(r.Context(), s.life)
	defer end()
	release, err := s.mirrors.packs.Acquire(ctx, m, isPeer(r))
	if err != nil {
		return err
	}
	defer release()
	return work(ctx)
}

// list has git answer a request of version 2 for a list of refs. The lock is not held
// for as long as a client takes to read it.
func (s *Server) list(r *http.Request, m *mirror.Mirror, body *smarthttp.Request) (answer []byte, err error) {
	err = s.inPlace(r, m, func(ctx context.Context) error {
		answer, err = m.ListRefs(ctx, body.Reader())
		return err
	})
	if git.IsRequestError(err) {
		err = &fault{kindBadRequest, err}
	}
	return answer, err
}

// cloned finds the mirror that a client calls by its name, or by its name and ".git". If there is none,
// it may be made (read).
func (s *Server) cloned(r *http.Request, raw string) (reading, error) {
	names, err := smarthttp.Names(raw)
	if err != nil {
		return reading{}, &fault{kindBadRequest, err}
	}
	for _, name := range names {
		if m, err := s.found(r, name); !errors.Is(err, mirror.ErrUnknown) {
			return reading{mirror: m}, err
		}
	}
	var unknown error
	for _, name := range names {
		found, err := s.read(r, name)
		if !errors.Is(err, mirror.ErrUnknown) {
			return found, err
		}
		if unknown == nil || errors.As(err, new(*tooEarly)) {
			unknown = err
		}
	}
	return reading{}, unknown
}

// setCloneHeaders writes what every answer to a git client says, and returns the snapshot
// that it is about.
func setCloneHeaders(header http.Header, m *mirror.Mirror, contentType string) *mirror.Snapshot {
	snap := m.Snapshot()
	respond.SetState(header, snap)
	setGitHeaders(header, contentType)
	return snap
}

// setGitHeaders writes what every answer to a git client says, whatever it is about.
func setGitHeaders(header http.Header, contentType string) {
	header["Cache-Control"] = revalidated
	header["Content-Type"] = []string{contentType}
	header["X-Content-Type-Options"] = []string{"nosniff"}
}

// hungUp ends an answer that could not be sent whole.
func hungUp(err error) error {
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}
