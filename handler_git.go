package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/reconquest/sould/internal/conditional"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/pktline"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/smarthttp"
	"github.com/reconquest/sould/internal/spool"
)

// What git clients ask for, behind a mirror's name (gitprotocol-http(5)).
const (
	gitRefs   = "/info/refs"
	gitFetch  = "/git-upload-pack"
	gitPush   = "/git-receive-pack"
	gitResult = "application/x-git-upload-pack-result"
	gitAdvert = "application/x-git-upload-pack-advertisement"
)

// clones is what the requests of git clients share.
type clones struct {
	reader    *smarthttp.Reader
	greetings *smarthttp.Greetings
}

// newClones takes in large requests in a directory.
func newClones(dir string, bodies *conn.Budget) *clones {
	return &clones{reader: smarthttp.NewReader(dir, bodies), greetings: smarthttp.NewGreetings()}
}

// configure has git asked again what it can do: there may be another one.
func (c *clones) configure() { c.greetings.Forget() }

// isGitPath reports whether a path is one that git clients ask for. No mirror's name
// ends like that.
func isGitPath(path string) bool {
	return strings.HasSuffix(path, gitRefs) || strings.HasSuffix(path, gitFetch) || strings.HasSuffix(path, gitPush)
}

// routeGit finds who answers a git client.
func (s *Server) routeGit(method, path string) (answer handler, allow string) {
	if strings.HasSuffix(path, gitRefs) {
		if method == http.MethodGet || method == http.MethodHead {
			return s.handleRefs, ""
		}
		return nil, "GET, HEAD"
	}
	switch {
	case method != http.MethodPost:
		return nil, "POST"
	case strings.HasSuffix(path, gitPush):
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
	m, err := s.cloned(strings.TrimSuffix(r.URL.Path, gitRefs))
	if err != nil {
		return err
	}
	if !isPeer(r) {
		m.Refresh(r.Context(), insists(r.Header))
	}
	snap := setCloneHeaders(w.Header(), m, gitAdvert)
	version := smarthttp.Version(r.Header["Git-Protocol"])
	steady := conn.NewDeadlineWriter(w)
	preface := func() error {
		if version == 2 {
			return nil
		}
		_, err := io.WriteString(steady, "001e# service=git-upload-pack\n0000")
		return err
	}
	if snap.IDLength() == 0 || snap.Shallow { // what is known of it is not all
		advert, err := s.advertise(r, m, version)
		if err != nil {
			m.Suspect(err)
			return fmt.Errorf("can't list the refs: %w", err)
		}
		if err = preface(); err == nil {
			_, err = steady.Write(advert)
		}
		return hungUp(err)
	}
	greeting, err := s.clones.greetings.Get(r.Context(), version, snap.IDLength(), m.Advertise)
	if err != nil {
		m.Suspect(err)
		return fmt.Errorf("can't find out how git greets a client: %w", err)
	}
	if err = preface(); err == nil {
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

// insists reports whether a git client asks for a pull first. Every git says "Pragma:
// no-cache" in its first question, and net/http makes "Cache-Control: no-cache" of that
// where the latter is missing. So from git it takes a word more.
func insists(h http.Header) bool {
	if h.Get("Pragma") != "" && slices.Equal(h["Cache-Control"], []string{"no-cache"}) {
		return false
	}
	return conditional.WantsFresh(h)
}

// handleFetch is POST /<name>/git-upload-pack: what a client wants and has. It pulls
// nothing: it is about what the client was shown before.
func (s *Server) handleFetch(w http.ResponseWriter, r *http.Request) error {
	m, err := s.cloned(strings.TrimSuffix(r.URL.Path, gitFetch))
	if err != nil {
		return err
	}
	body, err := s.clones.reader.Read(w, r)
	if err != nil {
		return err
	}
	if err := pktline.Check(body.Reader()); err != nil {
		body.Close()
		return fail(kindBadRequest, "the body: %w", err)
	}
	version := smarthttp.Version(r.Header["Git-Protocol"])
	steady := conn.NewDeadlineWriter(w)
	if version == 2 {
		if err := s.ensureContained(r, m, body); err != nil {
			body.Close()
			return s.sayError(steady, m, err)
		}
	}
	snap := setCloneHeaders(w.Header(), m, gitResult)
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
	setCloneHeaders(w.Header(), m, gitResult)
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
	w.Counting(&s.sent.Packs)
	ctx, end := s.whileAlive(r.Context())
	defer end()
	growing, err := s.mirrors.packs.Get(m, version, body, peer)
	if err != nil {
		return err
	}
	defer growing.Close()
	if growing.IsFile() {
		return sendPack(w, growing)
	}
	pack := &packWriter{DeadlineWriter: w}
	switch err = pack.follow(ctx, growing); {
	case err == io.EOF:
		return nil
	case !w.Begun && errors.Is(err, limiter.ErrBusy):
		return err
	default:
		return packFailed(pack, s.log.With("mirror", m.Name, "client", r.RemoteAddr), m, ctx.Err() != nil, err)
	}
}

// sendPack sends an answer that is finished, which the kernel can do by itself.
func sendPack(w *conn.DeadlineWriter, finished *spool.Reader) error {
	f, err := finished.Open()
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("can't read the pack: %w", err)
	}
	w.Header()["Content-Length"] = []string{strconv.FormatInt(finished.Size(), 10)}
	_, err = io.Copy(w, f)
	return hungUp(err)
}

// packFailed tells a client that git has failed, or that it was given up: by a status, in git's
// own words or, if there are none and it is too late for a status, by breaking off. ended is
// whether client or server are about to go.
func packFailed(w *packWriter, log *slog.Logger, m *mirror.Mirror, ended bool, err error) error {
	if id := git.UnknownObject(err); id != "" && refs.Names(m.Snapshot().Listing, id) { // it was shown to the client
		log.Error("can't make a pack", "err", err)
		m.Suspect(fmt.Errorf("%w: %w", git.ErrDamaged, err))
	}
	switch {
	case w.refusal && git.IsRequestError(err):
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
	case w.refusal: // the client knows, and here is why
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

// packWriter sends what git says.
type packWriter struct {
	*conn.DeadlineWriter
	refusal bool // what was said begins with an error in git's own form
}

func (p *packWriter) Write(b []byte) (int, error) {
	if !p.Begun {
		p.refusal = len(b) >= 8 && string(b[4:8]) == "ERR "
	}
	return p.DeadlineWriter.Write(b)
}

// follow sends what there is as soon as it is there, since a person may be watching git count,
// up to the end. The error is that of spool.Reader.CopyNext.
func (p *packWriter) follow(ctx context.Context, growing *spool.Reader) error {
	for {
		if _, err := growing.CopyNext(ctx, p, conn.MaxPiece); err != nil {
			return err
		}
		if p.Err = p.Control.Flush(); p.Err != nil {
			return p.Err
		}
	}
}

// isPeer reports whether another server of the cluster asks.
func isPeer(r *http.Request) bool { return r.Header.Get(protocol.PeerHeader) != "" }

// whileAlive returns a context that ends with a client's, or with the server.
func (s *Server) whileAlive(client context.Context) (ctx context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(client)
	stop := context.AfterFunc(s.life, func() { cancel(mirror.ErrClosing) })
	return ctx, func() { stop(); cancel(nil) }
}

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
	ctx, end := s.whileAlive(r.Context())
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

// cloned finds the mirror that a client calls by its name, or by its name and ".git".
func (s *Server) cloned(raw string) (*mirror.Mirror, error) {
	names, err := smarthttp.Names(raw)
	if err != nil {
		return nil, &fault{kindBadRequest, err}
	}
	var unknown error
	for _, name := range names {
		m, err := s.mirrors.find(name)
		if !errors.Is(err, mirror.ErrUnknown) {
			return m, err
		}
		if unknown == nil || errors.As(err, new(*tooEarly)) {
			unknown = err
		}
	}
	return nil, unknown
}

// setCloneHeaders writes what every answer to a git client says, and returns the snapshot
// that it is about.
func setCloneHeaders(header http.Header, m *mirror.Mirror, contentType string) *mirror.Snapshot {
	snap := m.Snapshot()
	setState(header, snap)
	header["Cache-Control"] = revalidated
	header["Content-Type"] = []string{contentType}
	header["X-Content-Type-Options"] = []string{"nosniff"}
	return snap
}

// hungUp ends an answer that could not be sent whole.
func hungUp(err error) error {
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}
