package archive

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/spool"
)

// Digest is the SHA-256 of an archive's bytes.
type Digest [sha256.Size]byte

// String is the digest as sha256sum(1) writes it.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Field is the digest as the value of Repr-Digest (RFC 9530).
func (d Digest) Field() string {
	return "sha-256=:" + base64.StdEncoding.EncodeToString(d[:]) + ":"
}

// hashedAlong is up to what size the digest of an archive is computed while the archive is made for a
// client that reads it as it grows, in bytes. It takes a third as much of a CPU as git archive itself
// does, for which the client of a larger one is not to wait.
const hashedAlong = 256 << 10

// hashingWriter computes the digest of what goes through it, if that is not too much.
type hashingWriter struct {
	w    io.Writer
	hash hash.Hash // nil if it was too much
	left int64     // bytes that are not too much
	size int64     // bytes that went through
}

// newHashingWriter returns a writer that computes the digest of at most so many bytes; of any
// number if limit is below zero.
func newHashingWriter(w io.Writer, limit int64) *hashingWriter {
	if limit < 0 {
		limit = 1<<63 - 1
	}
	return &hashingWriter{w: w, hash: sha256.New(), left: limit}
}

func (h *hashingWriter) Write(p []byte) (int, error) {
	n, err := h.w.Write(p)
	h.size += int64(n)
	if h.left -= int64(n); h.left < 0 {
		h.hash = nil
	}
	if h.hash != nil {
		h.hash.Write(p[:n])
	}
	return n, err
}

// digest returns the digest, if it is known.
func (h *hashingWriter) digest() (d Digest, ok bool) {
	if h.hash == nil {
		return d, false
	}
	return Digest(h.hash.Sum(nil)), true
}

// ErrNoSum is returned by Sum if the archive cannot be kept, and its digest would say nothing of the
// next one.
var ErrNoSum = errors.New("there is no room to keep the archive, and with export_subst the next one may have another digest")

// Sum returns the digest of an archive, which is made if it is not there; if there is no room to keep
// it, for that alone. The error is ErrNoSum, limiter.ErrBusy, the cause of ctx's end, or that of making.
func (c *Cache) Sum(ctx context.Context, m *mirror.Mirror, a Archive) (Digest, error) {
	digest, err := c.keptSum(ctx, m, a)
	if errors.Is(err, fs.ErrNotExist) { // somebody has removed or changed the file: now it is made again
		digest, err = c.keptSum(ctx, m, a)
	}
	if errors.Is(err, spool.ErrNoSpace) {
		digest, err = c.directSum(ctx, m, a)
	}
	return digest, err
}

func (c *Cache) keptSum(ctx context.Context, m *mirror.Mirror, a Archive) (digest Digest, err error) {
	archived, err := c.Get(m, a, true)
	if err != nil {
		return digest, err
	}
	defer archived.Close()
	if err = archived.Wait(ctx); err != nil {
		return digest, err
	}
	digest, known, err := archived.Digest(ctx, true)
	if err == nil && !known {
		err = errors.New("its file is being changed by somebody else")
	}
	return digest, err
}

// directSum computes the digest of an archive that there is no room to keep.
func (c *Cache) directSum(ctx context.Context, m *mirror.Mirror, a Archive) (digest Digest, err error) {
	if a.Subst != "" {
		return digest, ErrNoSum
	}
	growing, err := c.Direct(m, a)
	if err != nil {
		return digest, err
	}
	defer growing.Close()
	const piece = 512 << 10 // bytes
	hash := sha256.New()
	for err == nil {
		_, err = growing.CopyNext(ctx, hash, piece)
	}
	if err != io.EOF {
		return digest, err
	}
	return Digest(hash.Sum(nil)), nil
}
