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

// Each fault that git finds in an object has a message id, such as badTimezone (git-fsck(1)).
// Old, honest histories are full of such faults, "git clone" takes them all, and new versions
// of git find new ones. So objects with faults are taken and counted, unless the fault
// endangers those who check them out.

// Fsck is a level: it says which objects of an origin are refused.
type Fsck string

const (
	FsckDefault Fsck = "default" // objects that endanger those who check them out
	FsckStrict  Fsck = "strict"  // all that git refuses with transfer.fsckObjects (git-config(1))
	FsckOff     Fsck = "off"     // none
)

// ParseFsck parses a level. An empty text is an error.
func ParseFsck(text string) (Fsck, error) {
	switch f := Fsck(text); f {
	case FsckDefault, FsckStrict, FsckOff:
		return f, nil
	}
	return "", fmt.Errorf("must be %q, %q or %q, not %q", FsckDefault, FsckStrict, FsckOff, text)
}

// dangerous are the ids of what endangers those who check out a revision or unpack an archive
// of it: names that lead into a repository's own files or out of the directory, and submodules
// that run programs.
var dangerous = map[string]bool{
	"hasDot": true, "hasDotdot": true, "hasDotgit": true,
	"gitmodulesBlob": true, "gitmodulesLarge": true, "gitmodulesMissing": true, // it cannot be checked
	"gitmodulesName": true, "gitmodulesPath": true, "gitmodulesSymlink": true,
	"gitmodulesUpdate": true, "gitmodulesUrl": true,
}

// slashInName is the id for trees that have names with slashes. They are dangerous if such a
// name is (isDangerousPath).
const slashInName = "fullPathname"

// offByDefault is the id of a message that git prints only if it is told to.
const offByDefault = "extraHeaderEntry"

// neverRefused are the ids for which git never refuses an object.
var neverRefused = map[string]bool{
	offByDefault: true, "badFilemode": true, "badTagName": true, "missingTaggerEntry": true, "gitmodulesParse": true,
	"gitattributesSymlink": true, "gitignoreSymlink": true, "mailmapSymlink": true,
}

// refuses reports whether objects are refused because of a message with this id, which only a
// newer git may know.
func (f Fsck) refuses(id string) bool {
	switch f {
	case FsckOff:
		return false
	case FsckStrict:
		return !neverRefused[id]
	default:
		return dangerous[id]
	}
}

// accepts reports whether objects with such a message are taken as they arrive, without a
// further check.
func (f Fsck) accepts(id string) bool {
	return !f.refuses(id) && (f == FsckOff || id != slashInName)
}

// messages are the message ids that the installed git knows. Each Git has its own, and a reload
// makes a new Git, so that git is asked once after each reload: a new version may have been
// installed since then. To ask for the version first would start a process, too.
type messages struct {
	mu    sync.Mutex      // guards all below
	ids   []string        // nil until git was asked
	fatal map[string]bool // in lower case: those that git does not let us make warnings
}

// newMessages begins with the ids that are fatal to git 2.39: those about headers that it
// cannot read to their end.
func newMessages() *messages {
	return &messages{fatal: map[string]bool{"nulinheader": true, "unterminatedheader": true}}
}

// demotable returns the ids that can be made warnings.
func (m *messages) demotable(ctx context.Context, g *Git) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ids == nil {
		out, err := g.output(ctx, command{name: "help", args: []string{"--config"}})
		if err != nil {
			return nil, fmt.Errorf("can't list the checks of git: %w", err)
		}
		if m.ids = parseMessages(string(out)); len(m.ids) == 0 {
			return nil, errors.New("git lists no checks (git help --config)")
		}
	}
	var ids []string
	for _, id := range m.ids {
		if id != offByDefault && !m.fatal[strings.ToLower(id)] {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// parseMessages picks the ids from the output of "git help --config", which has one setting per
// line, among them "fsck.<id>".
func parseMessages(out string) (ids []string) {
	for line := range strings.Lines(out) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "fsck."); ok && isMessage.MatchString(id) && id != "skipList" {
			ids = append(ids, id)
		}
	}
	return ids
}

var isMessage = regexp.MustCompile(`^[a-z][a-zA-Z0-9]*$`)

// refusedToDemote is git's error for an id that it does not make a warning.
var refusedToDemote = regexp.MustCompile(`Cannot demote (\w+) to`)

// recordFatal records the id that git refused to make a warning, and reports whether err says
// so of a new one.
func (m *messages) recordFatal(err error) bool {
	e := (*Error)(nil)
	if !errors.As(err, &e) || e.Err != nil {
		return false
	}
	match := refusedToDemote.FindStringSubmatch(e.Stderr)
	m.mu.Lock()
	defer m.mu.Unlock()
	if match == nil || m.fatal[strings.ToLower(match[1])] {
		return false
	}
	m.fatal[strings.ToLower(match[1])] = true
	return true
}

// isFatal reports whether git does not make the id a warning.
func (m *messages) isFatal(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fatal[strings.ToLower(id)]
}

// fsckSettings make a fetch take the objects that are accepted, and warn of them.
func (g *Git) fsckSettings(ctx context.Context) ([]string, error) {
	switch g.fsck {
	case FsckOff:
		return uncheckedSettings, nil
	case FsckStrict:
		return []string{"transfer.fsckObjects", "true"}, nil
	}
	ids, err := g.messages.demotable(ctx, g)
	if err != nil {
		return nil, err
	}
	settings := []string{"transfer.fsckObjects", "true"}
	for _, id := range ids {
		if g.fsck.accepts(id) {
			settings = append(settings, "fetch.fsck."+id, "warn")
		}
	}
	return settings, nil
}

// uncheckedSettings make a fetch take all objects.
var uncheckedSettings = []string{"transfer.fsckObjects", "false"}

// finding is a message about an object.
type finding struct {
	object, id, words string
	refused           bool // git refuses the object because of it
}

func (f finding) String() string { return fmt.Sprintf("object %s: %s: %s", f.object, f.id, f.words) }

// messageLine is a message about an object: "warning: object 8d3f…: badDate: …" when it
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

// Warning counts the messages of one kind about objects that were taken.
type Warning struct {
	ID     string `json:"id" toml:"id"`         // the message id, such as "badTimezone" (git-fsck(1))
	Count  int    `json:"count" toml:"count"`   // the number of such messages
	Object string `json:"object" toml:"object"` // one of the objects
}

// Warnings are sorted by id, and no two have the same id.
type Warnings []Warning

// maxWarnings is how many kinds are kept: the most frequent ones.
const maxWarnings = 20

// Add returns the sum of the warnings and of more.
func (w Warnings) Add(more Warnings) Warnings {
	t := tally{}
	for _, one := range slices.Concat(w, more) {
		t.add(one)
	}
	return t.warnings()
}

// Sanitize returns the warnings of another server without those that cannot be valid.
func (w Warnings) Sanitize() Warnings {
	t := tally{}
	for _, one := range w {
		if isMessage.MatchString(one.ID) && len(one.ID) <= maxMessage && one.Count > 0 && IsID(one.Object) {
			one.Count = min(one.Count, 1e9)
			t.add(one)
		}
	}
	return t.warnings()
}

// maxMessage is the longest message id that is believed, in bytes.
const maxMessage = 64

// tally counts messages.
type tally map[string]Warning

func (t tally) record(f finding) { t.add(Warning{f.id, 1, f.object}) }

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
