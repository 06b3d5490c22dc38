package ondemand

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
)

// Rule says which names are mirrors that make themselves, and of what.
type Rule struct {
	Prefix        string        // of the names, with a slash at the end
	Template      string        // of the origin's URL; pathWord in it stands for the rest of the name
	MaxAge        time.Duration // a read of what was last looked at longer ago looks again first; 0: each read looks
	FirstPatience time.Duration // the longest that a first read waits for the mirror; unset in a table that does not say
	Quota         int64         // bytes on disk of all such mirrors below the prefix; 0 for any number
	MaxSize       int64         // bytes on disk of one of them; 0 for any number
	Idle          time.Duration // one that nobody has read for so long goes; 0 for never
	Poll          time.Duration // how often origins are looked at without a request; 0 for never
	DenyPrivate   bool          // an origin must not be at an address of a private network
	IgnoreCase    bool          // all spellings of a name mean the mirror with small letters, as forges take them
}

// pathWord is what stands in a template for the rest of a name.
const pathWord = "{path}"

// NewRule returns a rule with the defaults of a table, which is not complete.
func NewRule() Rule {
	return Rule{MaxAge: time.Minute, FirstPatience: unset}
}

// unset is the patience of a table that does not say what it is.
const unset = -1

// parsePrefix returns a prefix in the form that a Rule has. It is the beginning of legal names, in
// whole components.
func parsePrefix(raw string) (string, error) {
	if strings.Trim(raw, "/") == "" {
		return "", errors.New(`must not be empty: write what the names begin with, such as "github.com/"`)
	}
	name, err := storage.ParseName(raw)
	if err != nil {
		return "", fmt.Errorf("no mirror's name begins so: %w", err)
	}
	return name.String() + "/", nil
}

// checkTemplate checks that a template makes the URL of an origin on one host, whatever the path is.
func checkTemplate(template string) error {
	if strings.Count(template, pathWord) != 1 {
		return errors.New(`must contain {path} once, where the rest of the name goes: "https://github.com/{path}"`)
	}
	if _, err := parseTemplate(template); err != nil {
		return err
	}
	return nil
}

// shape is what all URLs of a template have in common.
type shape struct {
	host          string // origin.URL.Host
	before, after string // of the path, in the URL's canonical form
}

// with is the URL of a path that is written as it must be there.
func (s shape) with(path string) string { return s.before + path + s.after }

// parseTemplate finds out what a template makes of harmless paths.
func parseTemplate(template string) (shape, error) {
	before, after, _ := strings.Cut(template, pathWord)
	if !strings.HasSuffix(before, "/") && !strings.HasSuffix(before, ":") {
		return shape{}, errors.New("{path} must be a whole part of the URL's path: write a slash before it")
	}
	var s shape
	for i, path := range []string{"a", "b/c"} {
		url, err := origin.Parse(before+path+after, true)
		if err != nil {
			return shape{}, err
		}
		if user, password := url.Credentials(); user != "" || password != "" {
			return shape{}, errors.New("has a user or a password in it: write these into ~/.netrc of the user that sould runs as")
		}
		if i == 0 {
			s = shape{url.Host(), strings.TrimSuffix(url.String(), path+after), after}
		}
		if url.Host() != s.host || url.String() != s.with(path) {
			return shape{}, errors.New("{path} must stand behind the host, in the path")
		}
	}
	return s, nil
}

// Origin returns the origin of the mirror with this path below the prefix. Its scheme, host, port and
// user are those of the template, and it lies below what the template begins with.
func (r Rule) Origin(path string) (origin.URL, error) {
	want, err := parseTemplate(r.Template)
	if err != nil {
		return origin.URL{}, err
	}
	if err := checkPath(path); err != nil {
		return origin.URL{}, err
	}
	written := path
	if strings.Contains(r.Template, "://") {
		written = strings.ReplaceAll(path, "@", "%40") // it could be taken for the end of a user's name
	}
	url, err := origin.Parse(strings.Replace(r.Template, pathWord, written, 1), true)
	if err != nil {
		return origin.URL{}, fmt.Errorf("no origin has this path: %w", err)
	}
	if user, password := url.Credentials(); url.Host() != want.host || url.String() != want.with(written) || user != "" || password != "" {
		return origin.URL{}, errors.New("the path leads to another place than the origins of this table")
	}
	return url, nil
}

// checkPath checks that a path is part of a legal name.
func checkPath(path string) error {
	name, err := storage.ParseName("a/" + path)
	if err == nil && name.String() != "a/"+path {
		err = errors.New("there is a slash too many")
	}
	if err != nil {
		return fmt.Errorf("the path is not one of a mirror: %w", err)
	}
	return nil
}

// Tables are all rules of a configuration. The zero value has none.
type Tables struct{ rules []Rule } // the longest prefix first

// NewTables returns tables of rules whose prefixes differ.
func NewTables(rules []Rule) Tables {
	sorted := slices.Clone(rules)
	slices.SortFunc(sorted, func(a, b Rule) int {
		return cmp.Or(cmp.Compare(len(b.Prefix), len(a.Prefix)), strings.Compare(a.Prefix, b.Prefix))
	})
	return Tables{sorted}
}

// Rules returns the rules, the longest prefix first. The slice must not be changed.
func (t Tables) Rules() []Rule { return t.rules }

// Find returns the rule with the longest prefix that a name begins with, and the rest of the name,
// without ".git" at its end, and in small letters if the rule ignores case. ok is false if there is none.
func (t Tables) Find(name storage.Name) (r Rule, path string, ok bool) {
	for _, r := range t.rules {
		if rest, below := r.cutPrefix(name.String()); below {
			return r, withoutGit(r.fold(rest)), true
		}
	}
	return Rule{}, "", false
}

// cutPrefix returns what is behind the prefix in a name.
func (r Rule) cutPrefix(name string) (rest string, ok bool) {
	if r.IgnoreCase && len(name) > len(r.Prefix) && strings.EqualFold(name[:len(r.Prefix)], r.Prefix) {
		return name[len(r.Prefix):], true
	}
	return strings.CutPrefix(name, r.Prefix)
}

// fold is the spelling of a path that the rule's mirrors have.
func (r Rule) fold(path string) string {
	if r.IgnoreCase {
		return strings.ToLower(path)
	}
	return path
}

// Mirror returns the name and the origin of the mirror that a name means. The error is mirror.ErrUnknown if
// no rule has the name.
func (t Tables) Mirror(name storage.Name) (storage.Name, origin.URL, error) {
	r, path, ok := t.Find(name)
	if !ok {
		return name, origin.URL{}, mirror.ErrUnknown
	}
	short, err := r.Name(path)
	if err != nil {
		return name, origin.URL{}, err
	}
	from, err := r.Origin(path)
	return short, from, err
}

// MadeFrom returns the origin from which a read makes the mirror of a name, if these origins may be read.
func (t Tables) MadeFrom(name storage.Name, allowed origin.Policy) (from origin.URL, ok bool) {
	_, from, err := t.Mirror(name)
	return from, err == nil && allowed.Check(from) == nil
}

// MaxAge returns the maximum age of a name that has a rule.
func (t Tables) MaxAge(name storage.Name) (age time.Duration, ok bool) {
	r, _, ok := t.Find(name)
	return r.MaxAge, ok
}

// withoutGit drops every ".git" at the end: all spellings of a repository have one mirror.
func withoutGit(path string) string {
	for strings.HasSuffix(path, ".git") {
		path = strings.TrimSuffix(path, ".git")
	}
	return path
}

// Name returns the name of the mirror that the rule makes for a path, as Find returns it.
func (r Rule) Name(path string) (storage.Name, error) { return storage.ParseName(r.Prefix + path) }

// DenyPrivate reports whether the origin of a mirror must not be at an address of a private network,
// whoever asks for the mirror.
func (t Tables) DenyPrivate(name storage.Name) bool {
	rule, _, _ := t.Find(name)
	return rule.DenyPrivate
}
