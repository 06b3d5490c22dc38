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

	"github.com/reconquest/sould/internal/archive"
	"github.com/reconquest/sould/internal/conditional"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/respond"
	"github.com/reconquest/sould/internal/spool"
)

// handleTar is GET /<name>: the archive. The way of an archive that is finished is
// short: snapshot, commit, file; no process is started on it.
func (s *Server) handleTar(w http.ResponseWriter, r *http.Request) error {
	set := s.settings()
	req, err := archive.ParseRequest(r.URL)
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	came := time.Now()
	r = conditional.WithRange(r)
	found, err := s.read(r, req.Name)
	if err != nil {
		return err
	}
	m := found.mirror
	if !found.fresh {
		m.Refresh(r.Context(), conditional.WantsFresh(r.Header))
	}
	rev, err := s.mirrors.revision(r.Context(), m, req, came)
	header := w.Header()
	respond.SetState(header, rev.Snapshot)
	if err != nil {
		if statusOf(err) == http.StatusPreconditionFailed {
			header.Set("Retry-After", strconv.Itoa(int(max(set.Retry, time.Second).Seconds())))
		}
		return err
	}
	if req.Bundle {
		return s.handleBundle(w, r, m, req, rev)
	}
	a := req.Want.Of(rev, set.ExportSubst)
	if len(req.Paths) > len(a.Paths.List()) { // the archive does not tell whether the others are there
		if err := checkPaths(r.Context(), m, a.Commit, req.Paths); err != nil {
			m.Suspect(err)
			return err
		}
	}
	etag := a.ETag()
	if req.Sum {
		etag = a.SumETag()
	}
	values := []string{rev.Commit, etag}
	header["X-Revision"], header["Etag"] = values[:1:1], values[1:]
	header["Cache-Control"] = cacheControl(req.Want.Ref == rev.Commit, set.ReadToken == "")
	if status := conditional.Precondition(r.Header, etag); status != 0 {
		if err := s.exists(r.Context(), m, a); err != nil { // first of all
			m.Suspect(err)
			return err
		}
		if rev.Branch { // who has it asks for the next one as well
			s.mirrors.prefetch.Asked(m.Name, req.Want)
		}
		if status == http.StatusNotModified && !req.Sum {
			s.sent.Unmodified.Add(1)
			addKnownDigest(header, r, a.Subst != "", func() (archive.Digest, bool) { return s.mirrors.archives.Digest(m, a) })
		}
		return respond.Condition(w, status)
	}
	header["X-Content-Type-Options"] = nosniff
	name := req.Name.Base() + "." + a.Format.Name
	if req.Sum {
		err = s.serveSum(w, r, m, a, name)
	} else {
		header["Content-Type"] = []string{a.Format.ContentType}
		header["Content-Disposition"] = attachment(name)
		err = s.serveArchive(w, r, m, a)
	}
	if err != nil {
		m.Suspect(err)
	}
	if err == nil && rev.Branch { // a pull can change what this is
		s.mirrors.prefetch.Asked(m.Name, req.Want)
	}
	return err
}

// serveArchive sends an archive, from its file if it is finished.
func (s *Server) serveArchive(w http.ResponseWriter, r *http.Request, m *mirror.Mirror, a archive.Archive) error {
	m.BeginUse()
	defer m.EndUse()
	err := fs.ErrNotExist
	if found := s.mirrors.archives.Find(m, a); found != nil {
		defer found.Close()
		err = s.serveFinished(w, r, found, a)
	}
	if errors.Is(err, spool.ErrChanged) {
		s.log.Warn("an archive is made again", "mirror", m.Name, "revision", a.Commit, "format", a.Format.Name, "err", err)
	}
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case r.Method == http.MethodHead:
		return s.exists(r.Context(), m, a) // it is not made for that
	}
	if err = s.serveGrowing(w, r, m, a); errors.Is(err, fs.ErrNotExist) { // the file has just been removed, or changed
		err = s.serveGrowing(w, r, m, a)
	}
	return err
}

var nosniff = []string{"nosniff"}

// attachment is the Content-Disposition of a file of that name.
func attachment(name string) []string { return []string{`attachment; filename="` + name + `"`} }

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
func (s *Server) exists(ctx context.Context, m *mirror.Mirror, a archive.Archive) error {
	if a.Paths == (archive.Paths{}) || s.mirrors.archives.Has(m, a) {
		return nil
	}
	return checkPaths(ctx, m, a.Commit, a.Paths.List())
}

// checkPaths checks that a commit has all of these paths.
func checkPaths(ctx context.Context, m *mirror.Mirror, commit string, paths []string) error {
	switch missing, err := m.MissingPath(ctx, commit, paths); {
	case err != nil:
		return fmt.Errorf("can't look for the paths in %s: %w", commit, err)
	case missing >= 0:
		return fmt.Errorf("%w: %q", git.ErrNoPath, paths[missing])
	default:
		return nil
	}
}

// serveFinished sends a finished archive, or a part of it.
func (s *Server) serveFinished(w http.ResponseWriter, r *http.Request, archived *archive.Reader, a archive.Archive) error {
	f, err := archived.Open()
	if err != nil {
		return fmt.Errorf("can't read the archive of %s: %w", a.Commit, err)
	}
	if archived.Size() > conn.Quick && r.Method != http.MethodHead {
		if err := s.conns.AcquireSend(); err != nil {
			return err
		}
		defer s.conns.ReleaseSend()
	}
	if err := addDigest(w.Header(), r, archived); err != nil {
		return err
	}
	return sendFile(conn.NewDeadlineWriter(w).Counting(&s.sent.Archives), r, f, a)
}

func sendFile(w *conn.DeadlineWriter, r *http.Request, f *os.File, a archive.Archive) error {
	if a.Subst == "" {
		respond.Content(w, r, f)
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
		_, _ = io.Copy(w, f)
	}
	return nil
}

// serveGrowing sends an archive while it is made. A part of it can only be sent
// when all of it is there.
func (s *Server) serveGrowing(w http.ResponseWriter, r *http.Request, m *mirror.Mirror, a archive.Archive) error {
	ctx, end := conn.WhileAlive(r.Context(), s.life)
	defer end()
	if err := s.conns.AcquireSend(); err != nil { // who waits for an archive counts as well
		return err
	}
	defer s.conns.ReleaseSend()
	// Before HTTP/1.1 the end of an answer of unknown length is the end of the connection, and a
	// part would look like the whole.
	whole := r.Header.Get("Range") != "" && a.Subst == "" || !r.ProtoAtLeast(1, 1) ||
		conditional.WantsDigest(r.Header) == conditional.Wanted
	growing, err := s.mirrors.archives.Get(m, a, whole)
	if errors.Is(err, spool.ErrNoSpace) {
		return s.serveDirectly(w, r, m, a)
	}
	if err != nil {
		return fmt.Errorf("can't archive %s: %w", a.Commit, err)
	}
	defer growing.Close()
	if whole {
		err = growing.Wait(ctx)
	} else {
		_, err = growing.Next(ctx)
	}
	switch {
	case r.Context().Err() != nil: // the client has gone
		panic(http.ErrAbortHandler)
	case errors.Is(err, spool.ErrNoSpace):
		return s.serveDirectly(w, r, m, a)
	case errors.Is(err, limiter.ErrBusy):
		return err
	case err != nil:
		return fmt.Errorf("can't archive %s: %w", a.Commit, err)
	case growing.Finished():
		f, err := growing.Open()
		if err != nil {
			return fmt.Errorf("can't read the archive of %s: %w", a.Commit, err)
		}
		if err := addDigest(w.Header(), r, growing); err != nil {
			return err
		}
		return sendFile(conn.NewDeadlineWriter(w).Counting(&s.sent.Archives), r, f, a)
	}
	w.Header().Set("Accept-Ranges", acceptRanges(a))
	return s.follow(ctx, conn.NewDeadlineWriter(w).Counting(&s.sent.Archives), r, m, a, growing.Reader)
}

// follow sends an archive as it grows, up to its end. An error that comes after the first
// bytes is told by breaking off.
func (s *Server) follow(
	ctx context.Context, w *conn.DeadlineWriter, r *http.Request, m *mirror.Mirror, a archive.Archive, growing *spool.Reader,
) (err error) {
	now, cancel := context.WithCancel(ctx)
	cancel()
	for err == nil {
		if _, err = growing.CopyNext(ctx, w, conn.MaxPiece); err != nil {
			break
		}
		if n, _ := growing.Next(now); n == 0 { // only now the client would wait for what was not sent yet
			err = w.Control.Flush()
		}
	}
	switch {
	case err == io.EOF:
		return nil
	case w.Begun:
		s.breakOff(r, m, a, err, w)
	}
	return err
}

func acceptRanges(a archive.Archive) string {
	if a.Subst != "" {
		return "none"
	}
	return "bytes"
}

// serveDirectly sends an archive that there is no room to keep.
func (s *Server) serveDirectly(w http.ResponseWriter, r *http.Request, m *mirror.Mirror, a archive.Archive) error {
	if !r.ProtoAtLeast(1, 1) {
		return fail(kindUnavailable, "there is no room to keep the archive, and only over HTTP/1.1 can it be sent without being kept")
	}
	w.Header().Set("Accept-Ranges", "none")
	ctx, end := conn.WhileAlive(r.Context(), s.life)
	defer end()
	growing, err := s.mirrors.archives.Direct(m, a)
	if err == nil {
		defer growing.Close()
		err = s.follow(ctx, conn.NewDeadlineWriter(w).Counting(&s.sent.Archives), r, m, a, growing)
	}
	switch {
	case err == nil:
		return nil
	case r.Context().Err() != nil: // the client has gone
		panic(http.ErrAbortHandler)
	default:
		return fmt.Errorf("can't archive %s: %w", a.Commit, err)
	}
}

// breakOff ends an answer that has begun in the only way in which a failure can
// still be told: the client sees a broken connection, and not the end of a file.
func (s *Server) breakOff(r *http.Request, m *mirror.Mirror, a archive.Archive, err error, w *conn.DeadlineWriter) {
	log := s.log.With("mirror", m.Name, "revision", a.Commit, "format", a.Format.Name, "client", r.RemoteAddr)
	switch {
	case errors.Is(w.Err, os.ErrDeadlineExceeded):
		log.Info("the client has read nothing for too long")
	case errors.Is(err, spool.ErrTooSlow):
		log.Warn("gave up an archive", "err", err)
	case w.Err == nil && r.Context().Err() == nil:
		log.Error("archive broken off", "err", err)
	}
	panic(http.ErrAbortHandler)
}
