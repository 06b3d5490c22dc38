package git

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/reconquest/sould/internal/lsrefs"
	"github.com/reconquest/sould/internal/pktline"
)

// Ref is a ref and what it points to.
type Ref struct {
	Name   string // in full, such as "refs/heads/main"
	ID     string // the object it names, in full, as hex digits
	Peeled string // the object that an annotated tag leads to in the end; otherwise ID
}

// HeadName is the name of HEAD as a ref.
const HeadName = "HEAD"

// IsCommit reports whether the ref must name a commit: HEAD and branches must. Not even a tag
// that leads to a commit will do.
func (r Ref) IsCommit() bool {
	return strings.HasPrefix(r.Name, "refs/heads/") || r.Name == HeadName
}

// Head is what a repository's HEAD says.
type Head struct {
	Ref string // the branch it names; empty if it is detached or unknown
	ID  string // the commit; empty if the branch does not exist (yet)
}

// headJSON is a Head in JSON. A JSON string is UTF-8, but the name of a branch need not be.
type headJSON struct {
	Ref, ID string
	Bytes   []byte `json:",omitempty"` // the name, if it is not UTF-8
}

// MarshalJSON implements [json.Marshaler].
func (h Head) MarshalJSON() ([]byte, error) {
	j := headJSON{Ref: h.Ref, ID: h.ID}
	if !utf8.ValidString(h.Ref) {
		j.Bytes = []byte(h.Ref)
	}
	return json.Marshal(j)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (h *Head) UnmarshalJSON(text []byte) error {
	var j headJSON
	if err := json.Unmarshal(text, &j); err != nil {
		return err
	}
	*h = Head{Ref: j.Ref, ID: j.ID}
	if len(j.Bytes) > 0 {
		h.Ref = string(j.Bytes)
	}
	return nil
}

// Detached reports whether HEAD names a commit instead of a branch.
func (h Head) Detached() bool { return h.Ref == "" && h.ID != "" }

// Listing is the state of a repository's refs at one moment.
type Listing struct {
	Refs []Ref // sorted by name, without HEAD
	Head Head
}

// Find returns the ref with this full name.
func (l Listing) Find(name string) (Ref, bool) {
	i, found := slices.BinarySearchFunc(l.Refs, name, func(r Ref, name string) int {
		return strings.Compare(r.Name, name)
	})
	if !found {
		return Ref{}, false
	}
	return l.Refs[i], true
}

// listMemory is what git may allocate for a list of refs, in bytes: enough for a million refs.
// A compressed answer of a few megabytes can be a list without end.
const listMemory = 512 << 20

// List asks an origin for its refs and its HEAD. Origins do not show a HEAD that names a branch
// which does not exist: Head is empty then. With prefixes, refs whose names begin with none of
// them may be left out.
func (g *Git) List(ctx context.Context, remote Remote, prefixes ...string) (l Listing, err error) {
	if err := g.checkPublic(remote); err != nil {
		return Listing{}, err
	}
	remote = g.withCredentials(remote)
	l, done, webErr := g.listOverWeb(ctx, remote, prefixes)
	if done {
		return l, remote.withHint(webErr)
	}
	err = remote.authenticated(ctx, func(remote Remote) error {
		return g.followRedirects(ctx, remote, func(remote Remote) (err error) {
			l, err = g.list(ctx, remote)
			return err
		})
	})
	if err == nil && l.IDLength() == 0 && lsrefs.IsPage(webErr) {
		err = errPage
	}
	return l, remote.withHint(err)
}

// list asks in version 0 of the protocol, which needs one exchange, where version 2 needs two.
// A server that speaks only version 2 refuses the request, in whatever words, or shows no ref.
func (g *Git) list(ctx context.Context, remote Remote) (Listing, error) {
	l, err := g.listIn(ctx, remote, "0")
	if !remote.mayNeedV2() || err == nil && l.IDLength() > 0 || err != nil && !remote.answered(err) {
		return l, err
	}
	l2, err2 := g.listIn(ctx, remote, "2")
	switch {
	case err2 == nil:
		return l2, nil
	case err != nil:
		err = inBothVersions(err, err2)
	}
	return l, err
}

// inBothVersions is the error for a server that is asked in vain in versions 0 and 2.
func inBothVersions(err0, err2 error) error {
	if err2.Error() == err0.Error() {
		return err0
	}
	return errors.Join(err0, fmt.Errorf("in version 2 of git's protocol: %w", err2))
}

// mayNeedV2 reports whether the remote may speak only version 2 of the protocol. Neither git
// itself nor another sould is of this kind.
func (r Remote) mayNeedV2() bool {
	return !r.Direct && !strings.HasPrefix(r.URL, "/") && !strings.HasPrefix(r.URL, "file://")
}

// answered reports whether git failed because of a server's answer. A server that is down,
// redirects or wants credentials will do so in every version of the protocol, and may count
// vain attempts. If an ssh failed, the reason is unknown.
func (r Remote) answered(err error) bool {
	e := (*Error)(nil)
	if !errors.As(err, &e) || e.Err != nil || e.Signal != 0 || outOfMemory(err) || redirected(err) {
		return false
	}
	if r.webURL() == nil && !strings.HasPrefix(r.URL, "git://") {
		return strings.Contains(e.Stderr, "remote error: ")
	}
	return !unanswered.MatchString(quoted.ReplaceAllString(e.Stderr, "''"))
}

// quoted is a text in quotes, such as a URL, which may contain any words.
var quoted = regexp.MustCompile(`'[^'\n]*'`)

var unanswered = regexp.MustCompile(`(?i)could not resolve|(failed|couldn't|unable|could not) (to )?connect|` +
	`connection (refused|timed out|reset)|timed out|no route to host|network is unreachable|certificate|\b(ssl|tls)\b|` +
	`could not read (username|password)|authentication failed|permission denied|host key|returned error: (40[13]|429)|` +
	`transport '' not allowed|cannot run|unable to find remote helper`)

// listing is the command that lists a remote's refs in this version of the protocol.
func (g *Git) listing(remote Remote, version string) command {
	return command{
		name:     "ls-remote",
		args:     []string{"--symref", "--quiet", "--", remote.URL},
		settings: remote.settings(version),
		env:      g.envFor(remote),
		secrets:  remote.Secrets(),
		memory:   listMemory,
		helpers:  true,
		public:   remote.Public,
	}
}

func (g *Git) listIn(ctx context.Context, remote Remote, version string) (Listing, error) {
	out, err := g.output(ctx, g.listing(remote, version))
	if outOfMemory(err) {
		err = fmt.Errorf("the list of refs is too long: %w", err)
	}
	if err != nil {
		return Listing{}, err
	}
	l, err := parseListing(string(out))
	if err != nil {
		return Listing{}, err
	}
	for _, ref := range l.Refs {
		if len(ref.Name) > maxRefName { // else it would be silently left out
			return Listing{}, fmt.Errorf("the origin has a ref with a name of %d bytes, %d at most: %.100q…", len(ref.Name), maxRefName, ref.Name)
		}
	}
	return l, nil
}

// parseListing reads what "git ls-remote --symref" prints:
//
//	ref: refs/heads/main	HEAD
//	8d3f…	HEAD
//	8d3f…	refs/heads/main
//	91c0…	refs/tags/v1
//	8d3f…	refs/tags/v1^{}
func parseListing(out string) (Listing, error) {
	var l Listing
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		id, name, ok := strings.Cut(line, "\t")
		if target, symbolic := strings.CutPrefix(id, "ref: "); symbolic && ok {
			if name == "HEAD" {
				l.Head.Ref = strings.Clone(target)
			}
			continue
		}
		if !ok || !IsID(id) {
			return Listing{}, fmt.Errorf("the list of refs has a line %.200q", line)
		}
		switch tag, peeled := strings.CutSuffix(name, "^{}"); {
		case name == "HEAD":
			l.Head.ID = strings.Clone(id)
		case peeled:
			if n := len(l.Refs); n > 0 && l.Refs[n-1].Name == tag {
				l.Refs[n-1].Peeled = strings.Clone(id)
			}
		default:
			id = strings.Clone(id) // the listing must not keep the whole output alive
			l.Refs = append(l.Refs, Ref{Name: strings.Clone(name), ID: id, Peeled: id})
		}
	}
	slices.SortStableFunc(l.Refs, func(a, b Ref) int { return strings.Compare(a.Name, b.Name) })
	l.Refs = slices.CompactFunc(l.Refs, func(a, b Ref) bool { return a.Name == b.Name })
	return l, nil
}

// IsID reports whether s is a full object id: 40 (SHA-1) or 64 (SHA-256)
// lower-case hex digits.
func IsID(s string) bool {
	if len(s) != 40 && len(s) != 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// maxRefName is the longest name of a ref, in bytes. If HEAD names the ref, one line of the
// list of refs has the name twice, and the server's capabilities.
const maxRefName = pktline.MaxPacket/2 - 1<<10

// fitsFile reports whether a ref can be a file. If it cannot, git does not find the branch when
// HEAD names it.
func fitsFile(name string) bool {
	const longest, longestPath = 255, 4096 // NAME_MAX and PATH_MAX of Linux
	for component := range strings.SplitSeq(name, "/") {
		if len(component) > longest {
			return false
		}
	}
	return len(name) < longestPath
}

// IsRefName reports whether name is a legal full ref name by the rules of
// git-check-ref-format(1): at least two components, none of which begins with a dot or ends
// with ".lock", no "..", "@{", control character, space or one of ~^:?*[\, and neither a slash
// nor a dot at the end. It may be too long for a file: packed-refs can hold such refs.
func IsRefName(name string) bool {
	if len(name) > maxRefName {
		return false
	}
	components, start := 0, 0 // of the current component
	for i := range len(name) + 1 {
		if i < len(name) && name[i] != '/' {
			if notInRefName[name[i]] || i > start && (name[i-1:i+1] == ".." || name[i-1:i+1] == "@{") {
				return false
			}
			continue
		}
		if c := name[start:i]; c == "" || c[0] == '.' || strings.HasSuffix(c, ".lock") {
			return false
		}
		components++
		start = i + 1
	}
	return components > 1 && name[len(name)-1] != '.'
}

// notInRefName are the characters that no ref's name has.
var notInRefName = func() (not [256]bool) {
	for c := range byte(' ') {
		not[c] = true
	}
	for _, c := range []byte(" \x7f~^:?*[\\") {
		not[c] = true
	}
	return not
}()
