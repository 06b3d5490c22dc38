package ondemand

import (
	"testing"

	"github.com/reconquest/sould/internal/origin"
)

func TestAt(t *testing.T) {
	tables := NewTables([]Rule{
		{Prefix: "github.com/", Template: "https://github.com/{path}"},
		{Prefix: "github.com/corp/", Template: "https://git.corp.example/mirror/{path}.git"},
		{Prefix: "own/", Template: "git@git.in.local:team/{path}"},
		{Prefix: "center/", Template: "https://bitbucket.in.local/scm/{path}.git"},
		{Prefix: "Lab/", Template: "https://lab.in.local/Mirror/{path}", IgnoreCase: true},
	})
	for _, c := range []struct{ host, path, name, from string }{ // no name: there is none
		{"github.com", "acme/widgets", "github.com/acme/widgets", "https://github.com/acme/widgets"},
		{"github.com", "Acme/Widgets", "github.com/Acme/Widgets", "https://github.com/Acme/Widgets"},
		{"github.com", "corp/widgets", "", ""}, // that name is of another rule
		{"git.corp.example", "mirror/widgets", "github.com/corp/widgets", "https://git.corp.example/mirror/widgets.git"},
		{"git.in.local", "team/a/b", "own/a/b", "git@git.in.local:team/a/b"},
		{"git.in.local", "other/a", "", ""},
		{"bitbucket.in.local", "scm/proj/nuts", "center/proj/nuts", "https://bitbucket.in.local/scm/proj/nuts.git"},
		{"bitbucket.in.local", "proj/nuts", "", ""},
		{"lab.in.local", "mirror/Acme/Widgets", "Lab/acme/widgets", "https://lab.in.local/Mirror/acme/widgets"},
		{"evil.example", "github.com/acme/widgets", "", ""},
		{"github.com", "acme/../widgets", "", ""},
		{"github.com", "", "", ""},
		{"", "acme/widgets", "", ""},
	} {
		name, from, ok := tables.At(origin.Place{Host: c.host, Path: c.path})
		if ok != (c.name != "") || name.String() != c.name || from.String() != c.from {
			t.Errorf("%s %s: %s of %s, %v; want %s of %s", c.host, c.path, name, from, ok, c.name, c.from)
		}
	}
}
