package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"

	"github.com/reconquest/sould/internal/archive"
	"github.com/reconquest/sould/internal/conditional"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/respond"
	"github.com/reconquest/sould/internal/spool"
)

// sendArchive sends an archive or its digest, unless a condition of the request decides about the answer.
func (s *Sender) sendArchive(w http.ResponseWriter, r *http.Request, req Request) error {
	m, a := req.Mirror, req.Want.Of(req.Revision, req.ExportSubst)
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
	header := w.Header()
	values := []string{a.Commit, etag}
	header["X-Revision"], header["Etag"] = values[:1:1], values[1:]
	header["Cache-Control"] = cacheControl(req.Want.Ref == a.Commit, req.Public)
	if status := conditional.Precondition(r.Header, etag); status != 0 {
		return s.sendCondition(w, r, req, a, status)
	}
	header["X-Content-Type-Options"] = nosniff
	name := req.Name.Base() + "." + a.Format.Name
	var err error
	if req.Sum {
		err = s.sendSum(w, r, m, a, name)
	} else {
		header["Content-Type"] = []string{a.Format.ContentType}
		header["Content-Disposition"] = attachment(name)
		err = s.sendContent(w, r, m, a)
	}
	if err != nil {
		m.Suspect(err)
		return err
	}
	s.asked(req)
	return nil
}

// sendCondition answers a request for an archive whose condition decides about it.
func (s *Sender) sendCondition(w http.ResponseWriter, r *http.Request, req Request, a archive.Archive, status int) error {
	if err := s.exists(r.Context(), req.Mirror, a); err != nil { // no condition holds for what cannot be made
		req.Mirror.Suspect(err)
		return err
	}
	s.asked(req) // who has this one asks for the next one as well
	if status == http.StatusNotModified && !req.Sum {
		s.Sent.Unmodified.Add(1)
		addKnownDigest(w.Header(), r, a.Subst != "", func() (archive.Digest, bool) { return s.Archives.Digest(req.Mirror, a) })
	}
	return respond.Condition(w, status)
}

// asked remembers an archive that a pull can change: the next one is made ahead.
func (s *Sender) asked(req Request) {
	if req.Revision.Branch {
		s.Prefetcher.Asked(req.Mirror.Name, req.Want)
	}
}

// exists checks that there is what an archive is to be made of. If the archive is there,
// this is known without a process.
func (s *Sender) exists(ctx context.Context, m *mirror.Mirror, a archive.Archive) error {
	if a.Paths == (archive.Paths{}) || s.Archives.Has(m, a) {
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

// sendContent sends an archive, from its file if it is finished.
func (s *Sender) sendContent(w http.ResponseWriter, r *http.Request, m *mirror.Mirror, a archive.Archive) error {
	m.BeginUse()
	defer m.EndUse()
	err := fs.ErrNotExist
	if found := s.Archives.Find(m, a); found != nil {
		defer found.Close()
		err = s.sendFinished(w, r, found, a)
	}
	if errors.Is(err, spool.ErrChanged) {
		s.Log.Warn("an archive is made again", "mirror", m.Name, "revision", a.Commit, "format", a.Format.Name, "err", err)
	}
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case r.Method == http.MethodHead:
		return s.exists(r.Context(), m, a) // it is not made for that
	}
	if err = s.sendGrowing(w, r, m, a); errors.Is(err, fs.ErrNotExist) { // the file has just been removed, or changed
		err = s.sendGrowing(w, r, m, a)
	}
	return err
}

// sendFinished sends a finished archive, or a part of it. If its file is not what it was, the error is
// fs.ErrNotExist.
func (s *Sender) sendFinished(w http.ResponseWriter, r *http.Request, finished *archive.Reader, a archive.Archive) error {
	f, err := finished.Open()
	if err != nil {
		return fmt.Errorf("can't read the archive of %s: %w", a.Commit, err)
	}
	if finished.Size() > conn.Quick && r.Method != http.MethodHead {
		if err := s.Conns.AcquireSend(); err != nil {
			return err
		}
		defer s.Conns.ReleaseSend()
	}
	return s.sendFile(w, r, finished, f, a)
}

// sendFile sends the file of a finished archive, or a part of it.
func (s *Sender) sendFile(w http.ResponseWriter, r *http.Request, finished *archive.Reader, f *os.File, a archive.Archive) error {
	header := w.Header()
	if err := addDigest(header, r, finished); err != nil {
		return err
	}
	steady := conn.NewDeadlineWriter(w).Counting(s.Sent.Archives)
	if a.Subst == "" {
		respond.Content(steady, r, f)
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
	header.Set("Accept-Ranges", "none")
	header.Set("Content-Length", strconv.FormatInt(size, 10))
	if r.Method != http.MethodHead {
		_, _ = io.Copy(steady, f)
	}
	return nil
}
