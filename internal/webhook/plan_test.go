package webhook

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
)

func parse(t testing.TB, raw string) origin.URL {
	t.Helper()
	o, err := origin.Parse(raw, true)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func name(t testing.TB, raw string) storage.Name {
	t.Helper()
	n, err := storage.ParseName(raw)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// mirrors are those of names and origins in turn. Behind an origin can stand ">" and the one that comes next.
func mirrors(t testing.TB, pairs ...string) iter.Seq[mirror.Followed] {
	return func(yield func(mirror.Followed) bool) {
		for i := 0; i < len(pairs); i += 2 {
			m := mirror.Followed{Name: name(t, pairs[i])}
			now, next, _ := strings.Cut(pairs[i+1], ">")
			if now != "" {
				m.Origin = parse(t, now)
			}
			if next != "" {
				m.Next = parse(t, next)
			}
			if !yield(m) {
				return
			}
		}
	}
}

func TestPlan(t *testing.T) {
	places := func(urls ...string) (all []origin.Place) {
		for _, raw := range urls {
			if raw == "" {
				all = append(all, origin.Place{})
			} else {
				all = append(all, parse(t, raw).Place())
			}
		}
		return all
	}
	have := mirrors(t, "one", "https://git.example/acme/widgets.git", "two", "git@git.example:acme/widgets", "port", "ssh://git@git.example:2222/acme/widgets",
		"upper", "https://git.example/Acme/Cogs", "lower", "https://git.example/acme/cogs", "folded", "https://git.example/ACME/Bolts",
		"elsewhere", "https://other.example/acme/widgets", "none", "", "scm", "https://git.example/scm/acme/nuts.git",
		"moving", "https://git.example/acme/then>https://git.example/acme/now", "coming", ">https://git.example/acme/coming")
	named := func(p origin.Place) (storage.Name, origin.URL, bool) {
		return name(t, "made/"+p.Path), parse(t, "https://"+p.Host+"/"+p.Path), p.Host == "git.example"
	}
	for what, c := range map[string]struct {
		effect      Effect
		at, formers []origin.Place
		create      bool
		want        string
	}{
		"ping":            {effect: Ping, at: places("https://git.example/acme/widgets")},
		"nothing":         {effect: Nothing, at: places("https://git.example/acme/widgets")},
		"all spellings":   {effect: Changed, at: places("https://git.example/acme/widgets"), want: "pull one https://git.example/acme/widgets.git; pull two git@git.example:acme/widgets; pull port ssh://git@git.example:2222/acme/widgets"},
		"exact case":      {effect: Changed, at: places("https://git.example/Acme/Cogs"), want: "pull upper https://git.example/Acme/Cogs"},
		"any case":        {effect: Changed, at: places("https://git.example/acme/bolts"), want: "pull folded https://git.example/ACME/Bolts"},
		"one of several":  {effect: Changed, at: places("ssh://git.example/acme/nuts", "https://git.example/scm/acme/nuts"), want: "pull scm https://git.example/scm/acme/nuts.git"},
		"unknown":         {effect: Changed, at: places("https://git.example/acme/new"), want: "no mirror"},
		"unknown, made":   {effect: Changed, at: places("https://git.example/acme/new"), create: true, want: "make made/acme/new https://git.example/acme/new"},
		"created":         {effect: Created, at: places("https://git.example/acme/new"), create: true, want: "make made/acme/new https://git.example/acme/new"},
		"no name":         {effect: Changed, at: places("https://other.example/acme/new"), create: true, want: "no mirror"},
		"deleted":         {effect: Deleted, at: places("https://other.example/acme/widgets"), want: "mark elsewhere https://other.example/acme/widgets"},
		"unknown deleted": {effect: Deleted, at: places("https://git.example/acme/new"), create: true, want: "no mirror"},
		"renamed": {effect: Renamed, at: places("https://git.example/acme/gears", "git@git.example:acme/gears"), formers: places("https://git.example/acme/widgets", "git@git.example:acme/widgets"),
			want: "move one https://git.example/acme/gears.git from https://git.example/acme/widgets.git; move two git@git.example:acme/gears from git@git.example:acme/widgets; " +
				"move port ssh://git@git.example:2222/acme/gears from ssh://git@git.example:2222/acme/widgets"},
		"renamed, each spelling by its own": {effect: Renamed, at: places("https://git.example/scm/acme/gears", "git@git.example:acme/gears"), formers: places("https://git.example/scm/acme/nuts", "git@git.example:acme/nuts"),
			want: "move scm https://git.example/scm/acme/gears.git from https://git.example/scm/acme/nuts.git"},
		"being moved":            {effect: Changed, at: places("https://git.example/acme/now"), want: "pull moving https://git.example/acme/now from https://git.example/acme/then"},
		"moved away":             {effect: Changed, at: places("https://git.example/acme/then"), want: "no mirror"},
		"moved on":               {effect: Renamed, at: places("https://git.example/acme/next"), formers: places("https://git.example/acme/now"), want: "move moving https://git.example/acme/next from https://git.example/acme/now"},
		"being made":             {effect: Changed, at: places("https://git.example/acme/coming"), create: true, want: "pull coming https://git.example/acme/coming"},
		"made, and moved":        {effect: Renamed, at: places("https://git.example/acme/arrived"), formers: places("https://git.example/acme/coming"), want: "move coming https://git.example/acme/arrived from https://git.example/acme/coming"},
		"made, and gone":         {effect: Deleted, at: places("https://git.example/acme/coming"), want: "mark coming https://git.example/acme/coming"},
		"renamed in case":        {effect: Renamed, at: places("https://other.example/Acme/widgets"), formers: places("https://other.example/acme/widgets"), want: "move elsewhere https://other.example/Acme/widgets from https://other.example/acme/widgets"},
		"renamed, followed":      {effect: Renamed, at: places("https://other.example/acme/widgets"), formers: places("https://other.example/acme/old"), want: "pull elsewhere https://other.example/acme/widgets"},
		"renamed, unknown":       {effect: Renamed, at: places("https://git.example/acme/new"), formers: places("https://git.example/acme/old"), want: "no mirror"},
		"renamed, former unsaid": {effect: Renamed, at: places("https://git.example/acme/new"), formers: places(""), want: "no mirror"},
		"renamed, odd":           {effect: Renamed, at: places("https://other.example/acme/a%3Fb"), formers: places("https://other.example/acme/widgets"), want: "the mirror elsewhere cannot follow"},
	} {
		e := Event{Effect: c.effect, At: c.at, Formers: c.formers}
		var create func(origin.Place) (storage.Name, origin.URL, bool)
		if c.create {
			create = named
		}
		steps, err := e.Plan(have, create)
		var got []string
		for _, s := range steps {
			line := fmt.Sprintf("%s %s %s", s.Action, s.Name, s.Origin)
			if s.Before.Known() {
				line += " from " + s.Before.String()
			}
			got = append(got, line)
		}
		switch {
		case err != nil && !(c.want == "no mirror" && errors.Is(err, ErrNoMirror)) && !strings.HasPrefix(err.Error(), c.want),
			err == nil && strings.Join(got, "; ") != c.want:
			t.Errorf("%s:\ngot  %s, %v\nwant %s", what, strings.Join(got, "; "), err, c.want)
		}
	}
}

// A walk over 10,000 mirrors for each delivery takes few milliseconds, so that there is no index which
// could be wrong.
func BenchmarkPlan(b *testing.B) {
	var pairs []string
	for i := range 10_000 {
		pairs = append(pairs, fmt.Sprintf("acme/r%d", i), fmt.Sprintf("https://git.example/acme/r%d.git", i))
	}
	var all []mirror.Followed
	for m := range mirrors(b, pairs...) {
		all = append(all, m)
	}
	e := Event{Effect: Changed, At: []origin.Place{{Host: "git.example", Path: "acme/r77"}}}
	for b.Loop() {
		steps, err := e.Plan(func(yield func(mirror.Followed) bool) {
			for _, m := range all {
				if !yield(m) {
					return
				}
			}
		}, nil)
		if len(steps) != 1 || err != nil {
			b.Fatal(steps, err)
		}
	}
}
