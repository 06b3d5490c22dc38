package discover

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/forge"
	"github.com/reconquest/sould/internal/origin"
)

func TestGlobs(t *testing.T) {
	for glob, paths := range map[string]map[string]bool{
		"acme/*":     {"acme/tool": true, "ACME/Tool": true, "acme/a/tool": false, "acmes/tool": false, "acme": false},
		"acme/**":    {"acme/tool": true, "acme/a/b": true, "other/acme/x": false},
		"**/tool":    {"acme/tool": true, "a/b/tool": true, "acme/tools": false},
		"*-test":     {"acme/x-test": true, "a/b/x-test": true, "x-test/a": false},
		"a?me/t.ol":  {"acme/t.ol": true, "acme/tool": false, "a/me/t.ol": false},
		"acme/(x|y)": {"acme/(x|y)": true, "acme/x": false},
	} {
		g, err := parseGlob(glob)
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range paths {
			if g.Matches(path) != want {
				t.Errorf("%s and %s: %v", glob, path, !want)
			}
		}
	}
	for _, glob := range []string{"", "[ab]", "a{b,c}", `a\b`, "/a", "a/", strings.Repeat("*", maxGlob+1)} {
		if _, err := parseGlob(glob); err == nil {
			t.Errorf("%q is taken", glob)
		}
	}
}

func globs(t *testing.T, raw ...string) (all []Glob) {
	t.Helper()
	for _, s := range raw {
		g, err := parseGlob(s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, g)
	}
	return all
}

func TestChoose(t *testing.T) {
	only, err := origin.ParsePattern("https://h/acme/")
	if err != nil {
		t.Fatal(err)
	}
	allowed := origin.Policy{Patterns: []origin.Pattern{only}}
	table := Table{Kind: forge.GitHub, Include: globs(t, "acme/*", "e/*"), Exclude: globs(t, "acme/secret*"), Clone: HTTPS}
	for path, c := range map[string]struct {
		repo forge.Repo
		want Reason
	}{
		"acme/tool":       {want: ""},
		"other/tool":      {want: NotIncluded},
		"acme/secret-key": {want: Excluded},
		"acme/old":        {repo: forge.Repo{Archived: true}, want: Archived},
		"acme/copy":       {repo: forge.Repo{Fork: true}, want: Fork},
		"acme/.github":    {want: BadName},
		"acme/a b":        {want: BadName},
		"acme/none":       {repo: forge.Repo{HTTP: "-"}, want: NoURL},
		"acme/local":      {repo: forge.Repo{HTTP: "/etc"}, want: BadOrigin},
		"acme/option":     {repo: forge.Repo{HTTP: "ext::sh"}, want: BadOrigin},
		"acme/secret":     {repo: forge.Repo{HTTP: "https://u:p@h/acme/x"}, want: Excluded},
		"acme/password":   {repo: forge.Repo{HTTP: "https://u:p@h/acme/x"}, want: BadOrigin},
		"e/elsewhere":     {want: NotAllowed},
		"acme/elsewhere":  {repo: forge.Repo{HTTP: "https://h.evil/acme/x"}, want: NotAllowed},
		"acme/up":         {repo: forge.Repo{HTTP: "https://h/acme/../x"}, want: NotAllowed},
	} {
		repo := c.repo
		repo.ID, repo.Path = "1", path
		switch repo.HTTP {
		case "":
			repo.HTTP = "https://h/" + path + ".git"
		case "-":
			repo.HTTP, repo.SSH = "", "git@h:x"
		}
		got, why := table.choose(repo, allowed)
		if why != c.want || why == "" && got.Name.String() != "github.com/"+path {
			t.Errorf("%s: %+v, %q, want %q", path, got, why, c.want)
		}
	}
}

func TestTables(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	acme := []Owner{"acme"}
	for want, table := range map[string]Table{
		"forge is missing":           {},
		"says nothing":               {Kind: forge.GitHub},
		"url is missing":             {Kind: forge.Gitea, All: true},
		"url must be http":           {Kind: forge.Gitea, All: true, URL: "ftp://h"},
		"a user or a password":       {Kind: forge.Gitea, All: true, URL: "https://me:secret@h"},
		"a query or a fragment":      {Kind: forge.Gitea, All: true, URL: "https://h/?a=b"},
		"leave one of them out":      {Kind: forge.GitHub, All: true, Users: acme},
		"is not the name of a group": {Kind: forge.GitHub, Groups: []Owner{"a b"}},
		"mean nothing for list":      {Kind: forge.List, URL: "https://h/l", Groups: acme},
		"does not fit a mirror":      {Kind: forge.GitHub, Groups: acme, Prefix: "x/"},
		"site is for grokmirror":     {Kind: forge.Gitea, All: true, URL: "https://h", Site: "https://h"},
		"tells no ssh URLs":          {Kind: forge.Grokmirror, URL: "https://h/m", Clone: SSH},
		`"::1/" does not fit`:        {Kind: forge.Gitea, All: true, URL: "http://[::1]:80"},
		"":                           {Kind: forge.GitLab, Groups: []Owner{"acme/tools"}, TokenFile: token, Prefix: "mirrors/gitlab-"},
	} {
		err := table.Check()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", want, err)
		}
	}
	one, two := Table{Kind: forge.GitHub, Groups: acme}, Table{Kind: forge.GitHub, Groups: acme, Clone: SSH, Forks: true}
	if err := CheckTables([]Table{one, two}); err == nil {
		t.Error("two tables may share what they know")
	}
	if two.Prefix = "other/"; CheckTables([]Table{one, two}) != nil {
		t.Error("a group may not be mirrored under two names")
	}
	if got := (Table{Kind: forge.GitHub, Groups: acme, Users: []Owner{"me"}}).String(); got != "github.com/acme,me" {
		t.Error(got)
	}
}

func TestState(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "discover")
	table := Table{Kind: forge.GitHub, Groups: []Owner{"acme"}}
	if s, err := readState(dir, table); err != nil || s.Known != nil {
		t.Errorf("%+v, %v", s, err)
	}
	want := state{
		Table: "github.com/acme", Done: time.Unix(1, 0).UTC(), Known: map[string]Known{"1": {"a/b", "n", "https://h/a", true, 1, true}},
		Pages: []forge.Page{{URL: "u", ETag: "e", Next: "n", Repos: []forge.Repo{{ID: "1", Path: "a/b", HTTP: "h", SSH: "s", Archived: true, Fork: true}}}},
	}
	if err := want.write(dir, table); err != nil {
		t.Fatal(err)
	}
	if got, err := readState(dir, table); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	other := Table{Kind: forge.GitHub, Groups: []Owner{"other"}}
	if s, err := readState(dir, other); err != nil || s.Known != nil {
		t.Errorf("another table has %+v, %v", s, err)
	}
	if err := os.WriteFile(stateFile(dir, table), []byte(`{"known": {"1": `), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := readState(dir, table); err == nil || s.Known != nil {
		t.Errorf("half a file: %+v, %v", s, err)
	}
	for _, used := range [][]Table{{table}, {other}} {
		if err := removeOldStates(dir, used, time.Now().Add(maxStateAge+time.Hour)); err != nil {
			t.Fatal(err)
		}
		_, err := os.Stat(stateFile(dir, table))
		if isUsed := used[0].key() == table.key(); isUsed != (err == nil) {
			t.Errorf("used: %v, and %v", isUsed, err)
		}
	}
	if err := want.write(filepath.Join(dir, "not", "there"), table); err == nil {
		t.Error("it makes directories in a storage that is missing")
	}
}

func TestUntilNext(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for done, want := range map[time.Time]time.Duration{
		{}:                         0,
		now.Add(-10 * time.Minute): 50 * time.Minute,
		now.Add(-2 * time.Hour):    0,
		now.Add(2 * time.Hour):     0,
	} {
		if got := untilNext(done, now, time.Hour); got != want {
			t.Errorf("%s: %s, want %s", done, got, want)
		}
	}
}
