// Package discover finds the repositories of forges, and has mirrors made of them.
//
// A table says which repositories of a forge are wanted, and what their mirrors are called. In each
// round the table's forge is listed (package forge) and compared with what is known from the last
// round and with the mirrors that are here. What is to be done about that is decided by a pure function,
// plan: new repositories are mirrored, the mirrors of those that were renamed follow them, by the id
// that the forge gives them, and those that are gone are marked. No mirror is ever removed, and a
// listing that fails changes nothing. What is known survives a restart.
package discover

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/forge"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
)

// Owner is a group or a user.
type Owner string

// parseOwner takes any word: Table.Check judges it.
func parseOwner(s string) (Owner, error) { return Owner(s), nil }

func (o Owner) String() string        { return string(o) }
func (o Owner) Same(other Owner) bool { return strings.EqualFold(string(o), string(other)) }

// Clone says which clone URL of a repository becomes the origin of its mirror.
type Clone string

// The clone URLs that forges tell.
const (
	HTTPS Clone = "https"
	SSH   Clone = "ssh"
)

// parseClone parses a word of the configuration.
func parseClone(s string) (Clone, error) {
	if c := Clone(s); c == HTTPS || c == SSH {
		return c, nil
	}
	return "", fmt.Errorf(`%q is neither "https" nor "ssh"`, s)
}

// Table says what to mirror of a forge: a [[discover]] of the configuration.
type Table struct {
	Kind             forge.Kind
	URL              string // empty for the kind's default
	Site             string // of grokmirror; see forge.Source
	TokenFile        string // empty for none; it is read in each round, because tokens expire
	Groups, Users    []Owner
	All              bool
	Include, Exclude []Glob // on the whole path; without an Include all are included
	Archived, Forks  bool   // whether those are mirrored
	Interval         time.Duration
	Prefix           string // of the names of mirrors; empty for the forge's host and a slash
	Clone            Clone
}

// NewTable returns a table with the defaults.
func NewTable() Table { return Table{Interval: time.Hour, Clone: HTTPS} }

// source is what the table lists, without a token.
func (t Table) source() forge.Source {
	return forge.Source{Kind: t.Kind, URL: t.URL, Site: t.Site, Groups: words(t.Groups), Users: words(t.Users), All: t.All}
}

func words(owners []Owner) (words []string) {
	for _, o := range owners {
		words = append(words, string(o))
	}
	return words
}

// withToken is the source with the token that the file has now.
func (t Table) withToken() (forge.Source, error) {
	s := t.source()
	if t.TokenFile == "" {
		return s, nil
	}
	token, err := access.ReadToken(t.TokenFile)
	if err != nil {
		return s, fmt.Errorf("can't read token_file: %w", err)
	}
	s.Token = token
	return s, nil
}

// Check returns what is wrong with a table, or nil.
func (t Table) Check() error {
	if t.Kind == "" {
		return errors.New("forge is missing")
	}
	err := t.source().Check()
	if err == nil {
		if _, wrong := storage.ParseName(t.prefix() + "x"); wrong != nil {
			err = fmt.Errorf("the prefix %q does not fit a mirror's name (%w): write another one", t.prefix(), wrong)
		}
	}
	if t.Clone == SSH && t.Kind == forge.Grokmirror {
		err = errors.Join(err, errors.New(`clone = "ssh" means nothing for grokmirror, which tells no ssh URLs`))
	}
	return err
}

// prefix is put before the path of a repository, for the name of its mirror.
func (t Table) prefix() string { return cmp.Or(t.Prefix, t.source().Host()+"/") }

// String names a table for people, such as "github.com/acme".
func (t Table) String() string { return t.source().String() }

// key is equal for tables that know the same repositories by the same names.
func (t Table) key() string {
	s := t.source()
	return strings.Join([]string{string(s.Kind), s.Base(), s.Site, t.prefix(), fmt.Sprint(t.All), fmt.Sprintf("%q %q", s.Groups, s.Users)}, "\n")
}

// CheckTables returns which tables would share what they know, or nil.
func CheckTables(tables []Table) error {
	known := make(map[string]int)
	for i, t := range tables {
		if first, ok := known[t.key()]; ok {
			return fmt.Errorf("tables %d and %d list the same of %s under the same names: make one of them", first+1, i+1, t)
		}
		known[t.key()] = i
	}
	return nil
}

// Reason is why a repository is not mirrored. It follows the words "left out".
type Reason string

// The reasons. Those after NotAllowed depend on what is here.
const (
	NotIncluded Reason = "not included"
	Excluded    Reason = "excluded"
	Archived    Reason = "archived"
	Fork        Reason = "forks"
	NoURL       Reason = "without such a clone URL"
	BadName     Reason = "of a name that no mirror can have"
	BadOrigin   Reason = "of a clone URL that no mirror can have"
	NotAllowed  Reason = "of an origin that this server may not mirror (origins)"
	Elsewhere   Reason = "found by another table"
	Taken       Reason = "whose name belongs to another mirror"
	Removed     Reason = "whose mirror was removed here"
	Unreadable  Reason = "whose mirror cannot be read"
)

// Candidate is a repository that a table wants to be mirrored.
type Candidate struct {
	ID, Path string
	Name     storage.Name
	Origin   origin.URL
}

// choose decides whether a repository is wanted. If it is not, the reason says why.
func (t Table) choose(r forge.Repo, allowed origin.Policy) (Candidate, Reason) {
	matches := func(g Glob) bool { return g.Matches(r.Path) }
	switch {
	case len(t.Include) > 0 && !slices.ContainsFunc(t.Include, matches):
		return Candidate{}, NotIncluded
	case slices.ContainsFunc(t.Exclude, matches):
		return Candidate{}, Excluded
	case r.Archived && !t.Archived:
		return Candidate{}, Archived
	case r.Fork && !t.Forks:
		return Candidate{}, Fork
	}
	url := r.HTTP
	if t.Clone == SSH {
		url = r.SSH
	}
	if url == "" {
		return Candidate{}, NoURL
	}
	name, err := storage.ParseName(t.prefix() + strings.TrimSuffix(r.Path, ".git"))
	if err != nil {
		return Candidate{}, BadName
	}
	from, err := origin.Parse(url, allowed.Local)
	if user, password := from.Credentials(); err != nil || user != "" || password != "" {
		return Candidate{}, BadOrigin
	}
	if allowed.Check(from) != nil {
		return Candidate{}, NotAllowed
	}
	return Candidate{r.ID, r.Path, name, from}, ""
}

// tally counts repositories that are left out, and keeps an example for each reason.
type tally map[Reason]leftOut

type leftOut struct {
	n       int
	example string
}

func (t tally) add(why Reason, path string) {
	one := t[why]
	t[why] = leftOut{one.n + 1, cmp.Or(one.example, path)}
}

// String tells the counts, such as "3 archived, 1 forks".
func (t tally) String() string { return t.text(false) }

func (t tally) text(examples bool) string {
	reasons := make([]Reason, 0, len(t))
	for why := range t {
		reasons = append(reasons, why)
	}
	slices.SortFunc(reasons, func(a, b Reason) int { return cmp.Or(cmp.Compare(t[b].n, t[a].n), cmp.Compare(a, b)) })
	parts := make([]string, len(reasons))
	for i, why := range reasons {
		parts[i] = fmt.Sprintf("%d %s", t[why].n, why)
		if examples {
			parts[i] += fmt.Sprintf(" (such as %s)", t[why].example)
		}
	}
	return strings.Join(parts, ", ")
}
