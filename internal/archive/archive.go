package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
)

// Spec is what a reader asks for: which content in which form.
type Spec struct {
	Ref    string // empty for the default branch
	Format *Format
	Path   string // empty for all
	Prefix string // ends with a slash, or is empty
}

// Of is the archive of a revision. If subst is set, $Format:…$ is expanded in it.
func (s Spec) Of(rev Revision, subst bool) Archive {
	a := Archive{Commit: rev.Commit, Format: s.Format, Path: s.Path, Prefix: s.Prefix}
	if subst {
		a.Subst = string(rev.Snapshot.Fingerprint)
	}
	return a
}

// Revision is what a ref means at one moment.
type Revision struct {
	Snapshot *mirror.Snapshot
	Commit   string
	Branch   bool // a branch was meant, so that a pull can change what the ref means
}

// Resolve finds the commit that a ref means now. Branches name commits; what else
// is named must be looked at, unless that was done before. The snapshot is valid also if
// there is an error.
func Resolve(ctx context.Context, m *mirror.Mirror, ref string) (Revision, error) {
	rev := Revision{Snapshot: m.Snapshot()}
	id, fallback, branch, err := rev.Snapshot.Resolve(ref)
	if err != nil {
		return rev, err
	}
	if rev.Branch = branch; branch {
		rev.Commit = id
		return rev, nil
	}
	rev.Commit, err = m.Commit(ctx, id)
	if errors.Is(err, git.ErrNotFound) && fallback != "" {
		rev.Commit, err = m.Commit(ctx, fallback)
	}
	if err != nil {
		return rev, fmt.Errorf("ref %q: %w", ref, err)
	}
	return rev, nil
}

// Archive is all that decides about an archive's bytes.
type Archive struct {
	Commit string // a full id
	Format *Format
	Path   string // only this file or directory; empty for all
	Prefix string // put before every path; ends with a slash, or is empty
	Subst  string // what $Format:…$ can depend on beside the commit; empty if it is not expanded
}

// words are what decides, in a form in which no two archives are alike.
func (a Archive) words() string {
	return strings.Join([]string{encoding, a.Commit, a.Format.Name, a.Path, a.Prefix, a.Subst}, "\x00")
}

// ETag is the same for the same bytes, on every server. It is weak where the bytes
// depend on more than can be told.
func (a Archive) ETag() string {
	weak, digest := "", ""
	if a.Subst != "" {
		weak = "W/"
	}
	if a.Subst != "" || a.Path != "" || a.Prefix != "" {
		digest = "-" + shortDigest(a.words())
	}
	return weak + `"` + a.Commit + "." + a.Format.Name + "-" + encoding + digest + `"`
}

func shortDigest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}
