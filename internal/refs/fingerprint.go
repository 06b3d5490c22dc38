package refs

import (
	"crypto/sha256"
	"encoding/hex"
	"io"

	"github.com/reconquest/sould/internal/git"
)

// Fingerprint is a digest (SHA-256, in hex) of a mirror's refs and default branch. On two
// servers with the same patterns, two mirrors have equal fingerprints exactly if their refs and
// default branches are equal.
type Fingerprint string

// FingerprintOf returns the digest of the refs that the patterns select, and of HEAD.
func FingerprintOf(l git.Listing, patterns []Pattern) Fingerprint {
	h := sha256.New()
	if l.Head.ID != "" { // else HEAD names a branch that does not exist
		io.WriteString(h, "HEAD "+l.Head.Ref+" "+l.Head.ID+"\n")
	}
	for _, ref := range l.Refs {
		if selected(patterns, ref.Name) {
			io.WriteString(h, ref.ID+" "+ref.Name+"\n")
		}
	}
	return Fingerprint(hex.EncodeToString(h.Sum(nil)))
}

// IsFingerprint reports whether a text can be a Fingerprint.
func IsFingerprint(s string) bool { return len(s) == 64 && git.IsID(s) }
