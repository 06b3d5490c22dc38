package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/spool"
)

// handleTar is GET /<name>: the archive. The way of an archive that is finished is
// short: snapshot, commit, file; no process is started on it.
func (s *Server) handleTar(w http.ResponseWriter, r *http.Request) error {
	set := s.settings()
	req, err := parseTar(r.URL)
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	req.came = time.Now()
	r = withRange(r)
	m, err := s.mirrors.Get(set, req.name)
	if errors.Is(err, errUnknownMirror) && s.mirrors.Progress(req.name) != nil {
		w.Header().Set("Retry-After", "1")
		return fail(kindNotFound, "%w yet: it is being fetched for the first time", err)
	}
	if err != nil {
		return err
	}
	s.mirrors.Refresh(r.Context(), set, m, wantsFresh(r.Header))
	rev, err := s.revision(r.Context(), set, m, req)
	header := w.Header()
	header["X-State"] = rev.snap.stateHeader
	header["X-Date"] = rev.snap.dateHeader
	if err != nil {
		if status(err) == http.StatusPreconditionFailed {
			header.Set("Retry-After", strconv.Itoa(int(max(set.Retry, time.Second).Seconds())))
		}
		return busy(w, err)
	}
	a := req.want.archive(set, rev)
	etag := a.etag()
	header["X-Revision"] = []string{rev.commit}
	header["Etag"] = []string{etag}
	header["Cache-Control"] = cacheControl(req.want.ref == rev.commit, set.ReadToken == "")
	if status := precondition(r.Header, etag); status != 0 {
		if err := s.exists(r.Context(), set, m, a); err != nil { // first of all
			s.mirrors.Suspect(set, m, err)
			return busy(w, err)
		}
		if rev.branch { // who has it asks for the next one as well
			m.remember(req.want)
		}
		return answerCondition(w, status)
	}
	header["Content-Type"] = []string{a.format.contentType}
	header["Content-Disposition"] = []string{`attachment; filename="` + req.name.Base() + "." + a.format.name + `"`}
	header["X-Content-Type-Options"] = []string{"nosniff"}
	err = fs.ErrNotExist
	if found := s.archives.Find(m, a); found != nil {
		defer found.Close()
		err = s.serveFinished(w, r, found, a)
	}
	switch {
	case !errors.Is(err, fs.ErrNotExist):
	case r.Method == http.MethodHead:
		err = s.exists(r.Context(), set, m, a) // it is not made for that
	default:
		err = s.serveGrowing(w, r, set, m, a)
	}
	if err != nil {
		s.mirrors.Suspect(set, m, err)
	}
	if err == nil && rev.branch { // a pull can change what this is
		m.remember(req.want)
	}
	return busy(w, err)
}

// cacheControl is what caches may do with an archive: that of a commit never
// changes. A cache that several people share must not answer for a server that asks
// them for a token.
func cacheControl(byCommit, public bool) []string {
	switch {
	case byCommit && public:
		return immutable
	case byCommit:
		return immutablePrivate
	default:
		return revalidated
	}
}

var (
	immutable        = []string{"public, max-age=31536000, immutable"}
	immutablePrivate = []string{"private, max-age=31536000, immutable"}
	revalidated      = []string{"no-cache"}
)

// exists checks that there is what an archive is to be made of. If the archive is there,
// this is known without a process.
func (s *Server) exists(ctx context.Context, set *settings, m *Mirror, a archive) error {
	if a.path == "" {
		return nil
	}
	if found := s.archives.Find(m, a); found != nil {
		found.Close()
		return nil
	}
	ok, err := m.HasPath(ctx, set, a.commit, a.path)
	if err == nil && !ok {
		err = fmt.Errorf("%w: %q", git.ErrNoPath, a.path)
	}
	return err
}

// revision is what a client's words mean at one moment.
type revision struct {
	snap   *Snapshot
	commit string
	branch bool // a branch was meant
}

// archive is what a client wants of a revision.
func (w wanted) archive(set *settings, rev revision) archive {
	a := archive{commit: rev.commit, format: w.format, path: w.path, prefix: w.prefix}
	if set.ExportSubst {
		a.subst = string(rev.snap.Fingerprint)
	}
	return a
}

// revision finds the revision that a client asks for, and pulls for it if the
// client says what it must contain and it does not. Its snapshot is valid also if
// there is an error.
func (s *Server) revision(ctx context.Context, set *settings, m *Mirror, req tarRequest) (revision, error) {
	rev, err := m.resolve(ctx, set, req.want.ref)
	if req.contains == "" {
		return rev, err
	}
	if err == nil { // if not, it may be there after a pull
		if ok, err := m.Contains(ctx, set, rev.commit, req.contains); ok || err != nil {
			return rev, err
		}
	}
	s.mirrors.LookFor(ctx, set, m, req.contains, req.came)
	if rev, err = m.resolve(ctx, set, req.want.ref); err != nil {
		return rev, err
	}
	ok, err := m.Contains(ctx, set, rev.commit, req.contains)
	if err == nil && !ok {
		err = fail(kindUnsatisfied, "the revision %s does not contain %s", rev.commit, req.contains)
	}
	return rev, err
}

// resolve finds the commit that a ref means now. Branches name commits; what else
// is named must be looked at, unless that was done before.
func (m *Mirror) resolve(ctx context.Context, set *settings, ref string) (revision, error) {
	rev := revision{snap: m.Snapshot()}
	id, fallback, branch, err := rev.snap.Resolve(ref)
	if err != nil {
		return rev, err
	}
	if rev.branch = branch; branch {
		rev.commit = id
		return rev, nil
	}
	rev.commit, err = m.Commit(ctx, set, id)
	if errors.Is(err, git.ErrNotFound) && fallback != "" {
		rev.commit, err = m.Commit(ctx, set, fallback)
	}
	if err != nil {
		return rev, fmt.Errorf("ref %q: %w", ref, err)
	}
	return rev, nil
}

// serveFinished sends a finished archive, or a part of it.
func (s *Server) serveFinished(w http.ResponseWriter, r *http.Request, archived *spool.Reader, a archive) error {
	f, err := archived.Open()
	if err != nil {
		return err
	}
	if info, err := f.Stat(); err != nil {
		return err
	} else if info.Size() > conn.Quick && r.Method != http.MethodHead {
		if err := s.conns.AcquireSend(); err != nil {
			return err
		}
		defer s.conns.ReleaseSend()
	}
	return sendFile(w, r, f, a)
}

func sendFile(w http.ResponseWriter, r *http.Request, f *os.File, a archive) error {
	steady := conn.NewDeadlineWriter(w)
	if a.subst == "" {
		http.ServeContent(contentWriter{steady}, r, "", time.Time{}, f)
		return nil
	}
	// The same part of other bytes is of no use to anybody.
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return err
	}
	w.Header().Set("Accept-Ranges", "none")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	if r.Method != http.MethodHead {
		_, _ = io.Copy(steady, f)
	}
	return nil
}

// serveGrowing sends an archive while it is made. A part of it can only be sent
// when all of it is there.
func (s *Server) serveGrowing(w http.ResponseWriter, r *http.Request, set *settings, m *Mirror, a archive) error {
	ctx := r.Context()
	if err := s.conns.AcquireSend(); err != nil { // who waits for an archive counts as well
		return busy(w, err)
	}
	defer s.conns.ReleaseSend()
	growing, err := s.archives.Get(set, m, a)
	if errors.Is(err, spool.ErrNoSpace) {
		return s.serveDirectly(w, r, set, m, a)
	}
	if err != nil {
		return fmt.Errorf("can't archive %s: %w", a.commit, err)
	}
	defer growing.Close()
	if wantsRange := r.Header.Get("Range") != "" && a.subst == ""; wantsRange || !r.ProtoAtLeast(1, 1) {
		// Before HTTP/1.1 the end of an answer of unknown length is the end of the
		// connection, and a part would look like the whole.
		err = growing.Wait(ctx)
	} else {
		_, err = growing.Next(ctx)
	}
	switch {
	case ctx.Err() != nil: // the client has gone
		panic(http.ErrAbortHandler)
	case errors.Is(err, spool.ErrNoSpace):
		return s.serveDirectly(w, r, set, m, a)
	case errors.Is(err, limiter.ErrBusy):
		return busy(w, err)
	case err != nil:
		return fmt.Errorf("can't archive %s: %w", a.commit, err)
	case growing.Finished():
		f, err := growing.Open()
		if err != nil {
			return err
		}
		return sendFile(w, r, f, a)
	}
	w.Header().Set("Accept-Ranges", acceptRanges(a))
	steady := conn.NewDeadlineWriter(w)
	for err == nil {
		if _, err = growing.CopyNext(ctx, steady, conn.MaxPiece); err == nil {
			err = steady.Control.Flush()
		}
	}
	if err != io.EOF {
		s.breakOff(r, m, a, err, steady)
	}
	return nil
}

func acceptRanges(a archive) string {
	if a.subst != "" {
		return "none"
	}
	return "bytes"
}

// serveDirectly sends an archive that there is no room to keep.
func (s *Server) serveDirectly(w http.ResponseWriter, r *http.Request, set *settings, m *Mirror, a archive) error {
	if !r.ProtoAtLeast(1, 1) {
		return fail(kindUnavailable, "there is no room to keep the archive, and without it only HTTP/1.1 can tell a part from the whole")
	}
	w.Header().Set("Accept-Ranges", "none")
	steady := conn.NewDeadlineWriter(w)
	err := s.archives.Direct(r.Context(), set, m, a, steady)
	if err != nil && !steady.Begun {
		return fmt.Errorf("can't archive %s: %w", a.commit, err)
	}
	if err != nil {
		s.breakOff(r, m, a, err, steady)
	}
	return nil
}

// breakOff ends an answer that has begun in the only way in which a failure can
// still be told: the client sees a broken connection, and not the end of a file.
func (s *Server) breakOff(r *http.Request, m *Mirror, a archive, err error, w *conn.DeadlineWriter) {
	log := s.log.With("mirror", m.Name, "revision", a.commit, "format", a.format.name, "client", r.RemoteAddr)
	switch {
	case errors.Is(w.Err, os.ErrDeadlineExceeded):
		log.Info("the client took in nothing for too long")
	case w.Err == nil && r.Context().Err() == nil:
		log.Error("archive broken off", "err", err)
	}
	panic(http.ErrAbortHandler)
}

// contentWriter is a DeadlineWriter for http.ServeContent, to which it may turn out late that
// the answer is an error (416).
type contentWriter struct{ *conn.DeadlineWriter }

func (c contentWriter) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		dressError(c.Header())
	}
	c.DeadlineWriter.WriteHeader(status)
}
