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

// Spec is a client's request for an archive: which content in which form.
type Spec struct {
	Ref    string // empty for the default branch
	Format *Format
	Paths  Paths
	Prefix string // ends with a slash, or is empty
}

// Of returns the archive of a revision. If subst is set, $Format:…$ is expanded in it.
func (s Spec) Of(rev Revision, subst bool) Archive {
	a := Archive{Commit: rev.Commit, Format: s.Format, Paths: s.Paths, Prefix: s.Prefix}
	if subst {
		a.Subst = string(rev.Snapshot.Fingerprint)
	}
	return a
}

// Revision is the commit that a ref leads to in one snapshot.
type Revision struct {
	Snapshot *mirror.Snapshot
	Commit   string
	Branch   bool // the ref is a branch, so that a pull can change its commit
}

// Resolve finds the commit that a ref leads to now. A branch names a commit; for another ref git is
// asked, unless the mirror remembers the answer. The Snapshot is valid also if there is an error.
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

// Archive is an archive that can be made: all that its bytes depend on.
type Archive struct {
	Commit string // a full id
	Format *Format
	Paths  Paths  // only these files and directories
	Prefix string // put before every path; ends with a slash, or is empty
	Subst  string // the fingerprint of the refs, on which $Format:…$ can depend; empty if it is not expanded
}

// key is all that the bytes depend on as one string: different archives have different keys. Several
// paths are several words in it.
func (a Archive) key() string {
	return strings.Join([]string{encoding, a.Commit, a.Format.Name, a.Paths.joined, a.Prefix, a.Subst}, "\x00")
}

// ETag returns the archive's ETag, which is the same for the same bytes on every server. It is weak
// if $Format:…$ is expanded: then the bytes can depend on more than the key.
func (a Archive) ETag() string {
	weak, digest := "", ""
	if a.Subst != "" {
		weak = "W/"
	}
	if a.Subst != "" || a.Paths != (Paths{}) || a.Prefix != "" {
		digest = "-" + shortDigest(a.key())
	}
	return weak + `"` + a.Commit + "." + a.Format.Name + "-" + encoding + digest + `"`
}

// SumETag is the ETag of the archive's digest, as a text of its own.
func (a Archive) SumETag() string {
	tag := a.ETag()
	return strings.TrimSuffix(tag, `"`) + `.sha256"`
}

func shortDigest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}
