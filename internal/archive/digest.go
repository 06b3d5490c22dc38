package archive

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"io"
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
