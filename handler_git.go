package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/smarthttp"
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
	places limiter.Limiter // for git processes that work for clients
	reader *smarthttp.Reader
	asking limiter.Limiter // for the one who asks what git can do

	mu        sync.Mutex // guards greetings
	greetings map[greetingKey]git.Greeting
}

// greetingKey is what a greeting depends on. Which git there is, is looked at again
// after a reload.
type greetingKey struct {
	set               *settings
	version, idLength int
}

// use puts settings in force.
func (c *clones) use(set *settings) {
	c.places.Resize(set.MaxClones)
	c.asking.Resize(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.greetings = make(map[greetingKey]git.Greeting)
}

func (c *clones) greeting(key greetingKey) (git.Greeting, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g, ok := c.greetings[key]
	return g, ok
}

func (c *clones) remember(key greetingKey, g git.Greeting) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.greetings[key] = g
}

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
	set := s.settings()
	service, err := smarthttp.Service(r.URL.RawQuery)
	if err != nil {
		return err
	}
	if service == "git-receive-pack" {
		return s.handlePush(w, r)
	}
	m, err := s.cloned(w, set, strings.TrimSuffix(r.URL.Path, gitRefs))
	if err != nil {
		return err
	}
	if r.Header.Get(peerHeader) == "" {
		s.mirrors.Refresh(r.Context(), set, m, insists(r.Header))
	}
	snap := dressClone(w.Header(), m, gitAdvert)
	version := smarthttp.Version(r.Header["Git-Protocol"])
	steady := conn.NewDeadlineWriter(w)
	preface := func() error {
		if version == 2 {
			return nil
		}
		_, err := io.WriteString(steady, "001e# service=git-upload-pack\n0000")
		return err
	}
	if snap.IDLength() == 0 || isShallow(m.Dir) { // what is known of it is not all
		advert, err := s.advertise(r.Context(), set, m, version)
		if err != nil {
			s.mirrors.Suspect(set, m, err)
			return busy(w, err)
		}
		if err = preface(); err == nil {
			_, err = steady.Write(advert)
		}
		return hungUp(err)
	}
	greeting, err := s.greeting(r.Context(), set, m, version, snap.IDLength())
	if err != nil {
		s.mirrors.Suspect(set, m, err)
		return busy(w, err)
	}
	if err = preface(); err == nil {
		err = greeting.Write(steady, snap.Listing)
	}
	return hungUp(err)
}

// insists reports whether a git client asks for a pull first. Every git says "Pragma:
// no-cache" in its first question, and net/http makes "Cache-Control: no-cache" of that
// where the latter is missing. So from git it takes a word more.
func insists(h http.Header) bool {
	if h.Get("Pragma") != "" && slices.Equal(h["Cache-Control"], []string{"no-cache"}) {
		return false
	}
	return wantsFresh(h)
}

// handleFetch is POST /<name>/git-upload-pack: what a client wants and has. It pulls
// nothing: it is about what the client was shown before.
func (s *Server) handleFetch(w http.ResponseWriter, r *http.Request) error {
	set := s.settings()
	m, err := s.cloned(w, set, strings.TrimSuffix(r.URL.Path, gitFetch))
	if err != nil {
		return err
	}
	body, err := s.clones.reader.Read(w, r)
	if err != nil {
		return busy(w, err)
	}
	defer body.Close()
	if err := git.CheckPackets(body.Reader()); err != nil {
		return fail(kindBadRequest, "the body: %w", err)
	}
	snap := dressClone(w.Header(), m, gitResult)
	version := smarthttp.Version(r.Header["Git-Protocol"])
	steady := conn.NewDeadlineWriter(w)
	if version == 2 && body.IsLsRefs() {
		if list, ok := git.ParseLsRefs(body.Reader(), snap.IDLength()); ok {
			return hungUp(list.Write(steady, snap.Listing))
		}
		answer, err := s.list(r.Context(), set, m, body)
		if err != nil {
			s.mirrors.Suspect(set, m, err)
			return busy(w, err)
		}
		_, err = steady.Write(answer)
		return hungUp(err)
	}
	return s.servePack(steady, r, set, m, version, body)
}

// servePack has git answer a request, and passes on what it says as it says it.
func (s *Server) servePack(w *conn.DeadlineWriter, r *http.Request, set *settings, m *Mirror, version int, body *smarthttp.Request) error {
	ctx, leave, err := s.takePlace(r.Context(), m)
	if err != nil {
		return busy(w, err)
	}
	defer leave()
	pack := &packWriter{DeadlineWriter: w}
	err = set.git.Repo(m.Dir).UploadPack(ctx, version, body.Reader(), pack)
	log := s.log.With("mirror", m.Name, "client", r.RemoteAddr)
	if id := git.Unknown(err); id != "" && refs.Names(m.Snapshot().Listing, id) { // it was shown to the client
		log.Error("can't make a pack", "err", err)
		s.mirrors.Suspect(set, m, fmt.Errorf("%w: %w", git.ErrDamaged, err))
	}
	switch {
	case err == nil, pack.refusal && git.IsRequestError(err):
		return nil
	case !w.Begun && git.IsRequestError(err):
		return &fault{kindBadRequest, err}
	}
	s.mirrors.Suspect(set, m, err)
	switch {
	case !w.Begun:
		return fmt.Errorf("can't make a pack: %w", err)
	case pack.refusal: // the client knows, and here is why
		log.Error("can't make a pack", "err", err)
		return nil
	}
	switch {
	case errors.Is(w.Err, os.ErrDeadlineExceeded):
		log.Info("the client took in nothing for too long")
	case w.Err == nil && ctx.Err() == nil:
		log.Error("clone broken off", "err", err)
	}
	panic(http.ErrAbortHandler)
}

// packWriter sends what git says. What comes in trickles is sent at once, since a
// person may be watching; what comes in bulk is on its way already.
type packWriter struct {
	*conn.DeadlineWriter
	refusal bool // what was said begins with an error in git's own form
}

// trickle is the size in bytes up to which a piece is no bulk.
const trickle = 64 << 10

func (p *packWriter) Write(b []byte) (int, error) {
	if !p.Begun {
		p.refusal = len(b) >= 8 && string(b[4:8]) == "ERR "
	}
	n, err := p.DeadlineWriter.Write(b)
	if err == nil && len(b) < trickle {
		p.Err = p.Control.Flush()
		err = p.Err
	}
	return n, err
}

// takePlace waits for one of the places for git processes that work for clients. The
// context ends with the client, or with the server.
func (s *Server) takePlace(ctx context.Context, m *Mirror) (work context.Context, leave func(), err error) {
	work, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.life, func() { cancel(errClosing) })
	if err = s.clones.places.Acquire(work, m.Name.String()); err != nil {
		stop()
		cancel(nil)
		return nil, nil, err
	}
	return work, func() { s.clones.places.Release(); stop(); cancel(nil) }, nil
}

// advertise has git list a mirror's refs, all of one pull.
func (s *Server) advertise(ctx context.Context, set *settings, m *Mirror, version int) ([]byte, error) {
	ctx, leave, err := s.takePlace(ctx, m)
	if err != nil {
		return nil, err
	}
	defer leave()
	return m.advertise(ctx, set, version)
}

func (m *Mirror) advertise(ctx context.Context, set *settings, version int) ([]byte, error) {
	m.refs.RLock()
	defer m.refs.RUnlock()
	return set.git.Repo(m.Dir).Advertise(ctx, version)
}

// list has git answer a request of version 2 for a list of refs. The lock is not held
// for as long as a client takes to read it.
func (s *Server) list(ctx context.Context, set *settings, m *Mirror, body *smarthttp.Request) ([]byte, error) {
	ctx, leave, err := s.takePlace(ctx, m)
	if err != nil {
		return nil, err
	}
	defer leave()
	m.refs.RLock()
	defer m.refs.RUnlock()
	answer, err := set.git.Repo(m.Dir).Answer(ctx, 2, body.Reader())
	if git.IsRequestError(err) {
		err = &fault{kindBadRequest, err}
	}
	return answer, err
}

// greeting is what git can do in that version of the protocol. It says so for the
// first mirror that is asked for, and is believed for the others. One asks at a time,
// and none of the places is needed for that: it is short, and all wait for it.
func (s *Server) greeting(ctx context.Context, set *settings, m *Mirror, version, idLength int) (git.Greeting, error) {
	key := greetingKey{set, version, idLength}
	if g, ok := s.clones.greeting(key); ok {
		return g, nil
	}
	if err := s.clones.asking.Acquire(ctx, m.Name.String()); err != nil {
		return git.Greeting{}, err
	}
	defer s.clones.asking.Release()
	if g, ok := s.clones.greeting(key); ok {
		return g, nil
	}
	advert, err := m.advertise(ctx, set, version)
	if err != nil {
		return git.Greeting{}, err
	}
	g, err := git.NewGreeting(advert, version, idLength)
	if err == nil {
		s.clones.remember(key, g)
	}
	return g, err
}

// cloned finds the mirror that a client calls by its name, or by its name and ".git".
func (s *Server) cloned(w http.ResponseWriter, set *settings, raw string) (*Mirror, error) {
	names, err := smarthttp.Names(raw)
	if err != nil {
		return nil, &fault{kindBadRequest, err}
	}
	for _, name := range names {
		var m *Mirror
		if m, err = s.mirrors.Get(set, name); !errors.Is(err, errUnknownMirror) {
			return m, err
		}
	}
	for _, name := range names {
		if s.mirrors.Progress(name) != nil {
			w.Header().Set("Retry-After", "1")
			return nil, fail(kindNotFound, "%w yet: it is being fetched for the first time", err)
		}
	}
	return nil, err
}

// dressClone writes what every answer to a git client says, and returns the snapshot
// that it is about.
func dressClone(header http.Header, m *Mirror, contentType string) *Snapshot {
	snap := m.Snapshot()
	header["X-State"] = snap.stateHeader
	header["X-Date"] = snap.dateHeader
	header["Cache-Control"] = revalidated
	header["Content-Type"] = []string{contentType}
	header["X-Content-Type-Options"] = []string{"nosniff"}
	return snap
}

// isShallow reports whether a mirror that was copied in lacks a part of its history.
func isShallow(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, "shallow"))
	return err == nil
}

// busy tells a client for whom there is no place to come again.
func busy(w http.ResponseWriter, err error) error {
	if errors.Is(err, limiter.ErrBusy) || errors.Is(err, conn.ErrSending) {
		w.Header().Set("Retry-After", "1")
		return &fault{kindUnavailable, err}
	}
	return err
}

// hungUp ends an answer that could not be sent whole.
func hungUp(err error) error {
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}
