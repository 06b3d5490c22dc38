package git

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// What git dislikes about an object has a name, such as badTimezone: a message id
// (git-fsck(1)). Old, honest histories are full of them, "git clone" takes them all, and new
// versions of git find new ones. So they are taken and counted, unless they are known to
// endanger those who check them out.

// Fsck says which objects of an origin are refused.
type Fsck string

const (
	FsckDefault Fsck = "default" // those that endanger whoever checks them out
	FsckStrict  Fsck = "strict"  // all that git refuses where fsckObjects is on (git-config(1))
	FsckOff     Fsck = "off"     // none
)

// ParseFsck reads a Fsck. The empty one is none.
func ParseFsck(text string) (Fsck, error) {
	switch f := Fsck(text); f {
	case FsckDefault, FsckStrict, FsckOff:
		return f, nil
	}
	return "", fmt.Errorf("%q is none of %q, %q and %q", text, FsckDefault, FsckStrict, FsckOff)
}

// dangerous are the ids of what endangers those who check a revision out or unpack an
// archive of it: names that lead into a repository's own files or out of the directory, and
// submodules that run programs.
var dangerous = map[string]bool{
	"hasDot": true, "hasDotdot": true, "hasDotgit": true,
	"gitmodulesBlob": true, "gitmodulesLarge": true, "gitmodulesMissing": true, // cannot be looked at
	"gitmodulesName": true, "gitmodulesPath": true, "gitmodulesSymlink": true,
	"gitmodulesUpdate": true, "gitmodulesUrl": true,
}

// byItsNames is the id of trees that have names with slashes. They are as dangerous as what
// these names say (leadsAstray).
const byItsNames = "fullPathname"

// unsaid is the id of what git says nothing about unless it is told to.
const unsaid = "extraHeaderEntry"

// remarks are the ids that git never refuses an object for.
var remarks = map[string]bool{
	unsaid: true, "badFilemode": true, "badTagName": true, "missingTaggerEntry": true, "gitmodulesParse": true,
	"gitattributesSymlink": true, "gitignoreSymlink": true, "mailmapSymlink": true,
}

// refuses reports whether objects are refused because of a message of that id, which may be
// one that only a newer git knows.
func (f Fsck) refuses(id string) bool {
	switch f {
	case FsckOff:
		return false
	case FsckStrict:
		return !remarks[id]
	default:
		return dangerous[id]
	}
}

// takes reports whether objects with a message of that id can be taken while they arrive,
// without a look at anything else.
func (f Fsck) takes(id string) bool {
	return !f.refuses(id) && (f == FsckOff || id != byItsNames)
}

// messages are the ids that the installed git knows.
type messages struct {
	mu    sync.Mutex      // guards all below
	ids   []string        // nil until git was asked
	fixed map[string]bool // in small letters: those that git lets nobody make a warning of
}

// newMessages knows those that are fatal errors to git 2.39: what it says of headers that
// it cannot read to their end.
func newMessages() *messages {
	return &messages{fixed: map[string]bool{"nulinheader": true, "unterminatedheader": true}}
}

// known returns the ids that can be made warnings of.
func (m *messages) known(ctx context.Context, g *Git) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ids == nil {
		out, err := g.output(ctx, command{name: "help", args: []string{"--config"}})
		if err != nil {
			return nil, fmt.Errorf("can't ask git what it checks: %w", err)
		}
		if m.ids = parseMessages(string(out)); len(m.ids) == 0 {
			return nil, errors.New("git does not tell what it checks (git help --config)")
		}
	}
	var ids []string
	for _, id := range m.ids {
		if id != unsaid && !m.fixed[strings.ToLower(id)] {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// parseMessages picks the ids from what "git help --config" prints: a line for each setting,
// among them "fsck.<id>".
func parseMessages(out string) (ids []string) {
	for line := range strings.Lines(out) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "fsck."); ok && isMessage.MatchString(id) && id != "skipList" {
			ids = append(ids, id)
		}
	}
	return ids
}

var isMessage = regexp.MustCompile(`^[a-z][a-zA-Z0-9]*$`)

// refusedToDemote is how git says that it makes no warning of an id.
var refusedToDemote = regexp.MustCompile(`Cannot demote (\w+) to`)

// learn notes which id git has refused to make a warning of, and reports whether an error
// says that of a new one.
func (m *messages) learn(err error) bool {
	e := (*Error)(nil)
	if !errors.As(err, &e) || e.Err != nil {
		return false
	}
	match := refusedToDemote.FindStringSubmatch(e.Stderr)
	m.mu.Lock()
	defer m.mu.Unlock()
	if match == nil || m.fixed[strings.ToLower(match[1])] {
		return false
	}
	m.fixed[strings.ToLower(match[1])] = true
	return true
}

// isFixed reports whether git makes no warning of that id.
func (m *messages) isFixed(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fixed[strings.ToLower(id)]
}

// fsckSettings have a fetch take what is to be taken, and warn of it.
func (g *Git) fsckSettings(ctx context.Context) ([]string, error) {
	switch g.fsck {
	case FsckOff:
		return uncheckedSettings, nil
	case FsckStrict:
		return []string{"transfer.fsckObjects", "true"}, nil
	}
	ids, err := g.messages.known(ctx, g)
	if err != nil {
		return nil, err
	}
	settings := []string{"transfer.fsckObjects", "true"}
	for _, id := range ids {
		if g.fsck.takes(id) {
			settings = append(settings, "fetch.fsck."+id, "warn")
		}
	}
	return settings, nil
}

// uncheckedSettings have a fetch take everything.
var uncheckedSettings = []string{"transfer.fsckObjects", "false"}

// finding is a message about an object.
type finding struct {
	object, id, words string
	refused           bool // git refuses the object because of it
}

func (f finding) String() string { return fmt.Sprintf("object %s: %s: %s", f.object, f.id, f.words) }

// messageLine is how git tells of an object: "warning: object 8d3f…: badDate: …" when it
// arrives, "warning in commit 8d3f…: badDate: …" when a repository is checked.
var messageLine = regexp.MustCompile(`^(warning|error)(?:: object| in [a-z]+) ([0-9a-f]{40,64})(?: \(.*\))?: ([a-z]+[A-Z][a-zA-Z0-9]*): (.*)$`)

func parseFinding(line string) (f finding, ok bool) {
	if !strings.HasPrefix(line, "warning") && !strings.HasPrefix(line, "error") {
		return f, false
	}
	m := messageLine.FindStringSubmatch(line)
	if m == nil || !IsID(m[2]) {
		return f, false
	}
	return finding{object: m[2], id: m[3], words: m[4], refused: m[1] == "error"}, true
}

// Warning tells of objects that git dislikes and that were taken all the same.
type Warning struct {
	ID     string `json:"id" toml:"id"`         // of the message, such as "badTimezone" (git-fsck(1))
	Count  int    `json:"count" toml:"count"`   // how often git has said so
	Object string `json:"object" toml:"object"` // one that it has said so of
}

// Warnings are sorted by id, which none of them shares with another.
type Warnings []Warning

// maxWarnings is how many kinds are remembered: those that are most frequent.
const maxWarnings = 20

// Add returns the warnings with others.
func (w Warnings) Add(more Warnings) Warnings {
	t := tally{}
	for _, one := range slices.Concat(w, more) {
		t.add(one)
	}
	return t.warnings()
}

// Sane is what can be believed of warnings that somebody else tells of.
func (w Warnings) Sane() Warnings {
	t := tally{}
	for _, one := range w {
		if isMessage.MatchString(one.ID) && len(one.ID) <= maxMessage && one.Count > 0 && IsID(one.Object) {
			one.Count = min(one.Count, 1e9)
			t.add(one)
		}
	}
	return t.warnings()
}

// maxMessage is the length from which on something is no message id, in bytes.
const maxMessage = 64

// tally counts messages.
type tally map[string]Warning

func (t tally) note(f finding) { t.add(Warning{f.id, 1, f.object}) }

func (t tally) add(more Warning) {
	one := t[more.ID]
	t[more.ID] = Warning{more.ID, one.Count + more.Count, cmp.Or(one.Object, more.Object)}
}

func (t tally) warnings() Warnings {
	var all Warnings
	for _, one := range t {
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b Warning) int { return cmp.Or(b.Count-a.Count, strings.Compare(a.ID, b.ID)) })
	all = all[:min(len(all), maxWarnings)]
	slices.SortFunc(all, func(a, b Warning) int { return strings.Compare(a.ID, b.ID) })
	return all
}
