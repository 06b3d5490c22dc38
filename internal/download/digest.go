package download

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/reconquest/sould/internal/archive"
	"github.com/reconquest/sould/internal/conditional"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/mirror"
)

// addDigest says what the digest of an archive or bundle is (Repr-Digest, RFC 9530), unless the client has no
// use for it. Who wants it waits for it; others as well, if it is there in a moment.
func addDigest(header http.Header, r *http.Request, finished *archive.Reader) error {
	preference := conditional.WantsDigest(r.Header)
	if preference == conditional.Unwanted {
		return nil
	}
	digest, known, err := finished.Digest(r.Context(), preference == conditional.Wanted)
	if known {
		header["Repr-Digest"] = []string{digest.Field()}
	}
	if errors.Is(err, limiter.ErrBusy) { // the archive can be had all the same
		return nil
	}
	return err
}

// addKnownDigest says in a 304 what the digest of an archive or bundle is, to a client that wants to
// know it: for others a 304 has no more than it must (RFC 9110, section 15.4.5). Nothing is computed for
// that. Where the ETag is weak, the client may have other bytes.
func addKnownDigest(header http.Header, r *http.Request, weak bool, find func() (archive.Digest, bool)) {
	if weak || conditional.WantsDigest(r.Header) != conditional.Wanted {
		return
	}
	if digest, known := find(); known {
		header["Repr-Digest"] = []string{digest.Field()}
	}
}

// sendSum sends the digest of an archive as sha256sum(1) reads it. name is what the archive is called
// when it is saved. The archive is made for that, but not for a HEAD: all digests have one length.
func (s *Sender) sendSum(w http.ResponseWriter, r *http.Request, m *mirror.Mirror, a archive.Archive, name string) error {
	m.BeginUse()
	defer m.EndUse()
	var digest archive.Digest
	var err error
	if r.Method == http.MethodHead {
		err = s.exists(r.Context(), m, a)
	} else {
		digest, err = s.sum(r, m, a)
	}
	if err != nil {
		return err
	}
	writeSum(w, r, digest, name)
	return nil
}

// sum returns the digest of an archive, which is made if it is not there.
func (s *Sender) sum(r *http.Request, m *mirror.Mirror, a archive.Archive) (digest archive.Digest, err error) {
	ctx, end := conn.WhileAlive(r.Context(), s.Life)
	defer end()
	if err := s.Conns.AcquireSend(); err != nil { // who waits for an archive counts as well
		return digest, err
	}
	defer s.Conns.ReleaseSend()
	digest, err = s.Archives.Sum(ctx, m, a)
	abortIfGone(r)
	if err != nil && !errors.Is(err, limiter.ErrBusy) {
		err = fmt.Errorf("can't compute the digest of an archive of %s: %w", a.Commit, err)
	}
	return digest, err
}

// sendBundleSum sends the digest of a finished bundle. It is not computed for a HEAD.
func sendBundleSum(w http.ResponseWriter, r *http.Request, name string, bundle *archive.Reader) error {
	if r.Method == http.MethodHead {
		writeSum(w, r, archive.Digest{}, name)
		return nil
	}
	digest, known, err := bundle.Digest(r.Context(), true)
	if err == nil && !known {
		err = errors.New("its file is being changed by somebody else")
	}
	if err != nil {
		return fmt.Errorf("can't compute the digest of the bundle: %w", err)
	}
	writeSum(w, r, digest, name)
	return nil
}

// writeSum writes a digest as sha256sum(1) reads it. name is what that is called whose digest it is.
func writeSum(w http.ResponseWriter, r *http.Request, digest archive.Digest, name string) {
	line := digest.String() + "  " + name + "\n"
	header := w.Header()
	header["Content-Type"] = []string{"text/plain; charset=utf-8"}
	header["Content-Disposition"] = attachment(name + ".sha256")
	header["Accept-Ranges"] = []string{"none"}
	header["Content-Length"] = []string{strconv.Itoa(len(line))}
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, line)
	}
}
