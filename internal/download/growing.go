package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/reconquest/sould/internal/archive"
	"github.com/reconquest/sould/internal/conditional"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/spool"
)

// sendGrowing sends an archive while it is made.
func (s *Sender) sendGrowing(w http.ResponseWriter, r *http.Request, m *mirror.Mirror, a archive.Archive) error {
	ctx, end := conn.WhileAlive(r.Context(), s.Life)
	defer end()
	if err := s.Conns.AcquireSend(); err != nil { // who waits for an archive counts as well
		return err
	}
	defer s.Conns.ReleaseSend()
	whole := needsWhole(r, a)
	growing, err := s.Archives.Get(m, a, whole)
	if err == nil {
		defer growing.Close()
		err = await(ctx, growing.Reader, whole)
		abortIfGone(r)
	}
	switch {
	case errors.Is(err, spool.ErrNoSpace):
		return s.sendDirectly(ctx, w, r, m, a)
	case errors.Is(err, limiter.ErrBusy):
		return err
	case err != nil:
		return fmt.Errorf("can't archive %s: %w", a.Commit, err)
	case growing.Finished():
		f, err := growing.Open()
		if err != nil {
			return fmt.Errorf("can't read the archive of %s: %w", a.Commit, err)
		}
		return s.sendFile(w, r, growing, f, a)
	}
	w.Header().Set("Accept-Ranges", acceptRanges(a))
	return s.follow(ctx, w, r, m, a, growing.Reader)
}

// needsWhole reports whether nothing of an archive can be sent before all of it is there: not a part of it,
// and not with its digest. Before HTTP/1.1 the end of an answer of unknown length is the end of the
// connection, and a part would look like the whole.
func needsWhole(r *http.Request, a archive.Archive) bool {
	return r.Header.Get("Range") != "" && a.Subst == "" || !r.ProtoAtLeast(1, 1) ||
		conditional.WantsDigest(r.Header) == conditional.Wanted
}

// await waits until all of a file is there, or its first bytes.
func await(ctx context.Context, growing *spool.Reader, whole bool) error {
	if whole {
		return growing.Wait(ctx)
	}
	_, err := growing.Next(ctx)
	return err
}

// abortIfGone ends an answer whose client has gone.
func abortIfGone(r *http.Request) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler)
	}
}

// acceptRanges is what the answer that has an archive says of parts of it.
func acceptRanges(a archive.Archive) string {
	if a.Subst != "" {
		return "none"
	}
	return "bytes"
}

// sendDirectly sends an archive that there is no room to keep.
func (s *Sender) sendDirectly(ctx context.Context, w http.ResponseWriter, r *http.Request, m *mirror.Mirror, a archive.Archive) error {
	if !r.ProtoAtLeast(1, 1) {
		return fail(NoRoom, "there is no room to keep the archive, and only over HTTP/1.1 can it be sent without being kept")
	}
	w.Header().Set("Accept-Ranges", "none")
	growing, err := s.Archives.Direct(m, a)
	if err == nil {
		defer growing.Close()
		err = s.follow(ctx, w, r, m, a, growing)
	}
	if err != nil {
		abortIfGone(r)
		return fmt.Errorf("can't archive %s: %w", a.Commit, err)
	}
	return nil
}

// follow sends an archive as it grows, up to its end. The error is that of making it, before the first
// byte; of one that comes later it breaks off.
func (s *Sender) follow(
	ctx context.Context, w http.ResponseWriter, r *http.Request, m *mirror.Mirror, a archive.Archive, growing *spool.Reader,
) (err error) {
	steady := conn.NewDeadlineWriter(w).Counting(s.Sent.Archives)
	now, cancel := context.WithCancel(ctx)
	cancel()
	for err == nil {
		if _, err = growing.CopyNext(ctx, steady, conn.MaxPiece); err != nil {
			break
		}
		if n, _ := growing.Next(now); n == 0 { // only now the client would wait for what was not sent yet
			err = steady.Control.Flush()
		}
	}
	switch {
	case err == io.EOF:
		return nil
	case steady.Begun:
		s.breakOff(r, m, a, err, steady)
	}
	return err
}

// breakOff ends an answer that has begun in the only way in which a failure can
// still be told: the client sees a broken connection, and not the end of a file.
func (s *Sender) breakOff(r *http.Request, m *mirror.Mirror, a archive.Archive, err error, w *conn.DeadlineWriter) {
	log := s.Log.With("mirror", m.Name, "revision", a.Commit, "format", a.Format.Name, "client", r.RemoteAddr)
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
