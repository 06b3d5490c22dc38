package mirror

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
)

// parsed is a clone URL.
func parsed(t *testing.T, raw string) origin.URL {
	t.Helper()
	from, err := origin.Parse(raw, false)
	if err != nil {
		t.Fatal(err)
	}
	return from
}

// TestReserve: of requests that run at the same time, all want the same origin, or move the mirror from
// what it has then.
func TestReserve(t *testing.T) {
	at := func(path string) (from origin.URL) {
		if path != "" {
			from = parsed(t, "https://git.in.local/"+path)
		}
		return from
	}
	for what, c := range map[string]struct {
		stored   string   // the mirror's origin; empty for no mirror
		requests []string // their origins, and those that they move it from
		refused  string   // why the last one is
	}{
		"the same":                     {"a", []string{"a", "a"}, ""},
		"another":                      {"a", []string{"a", "b"}, "POST again with move="},
		"moved meanwhile":              {"a", []string{"a", "b<a"}, ""},
		"moved meanwhile, twice":       {"a", []string{"a", "b<a", "b<a"}, ""},
		"moved on":                     {"a", []string{"b<a", "c<b"}, ""},
		"pulled, moved, and pulled":    {"a", []string{"a", "b<a", "b"}, ""},
		"pulled, and moved on":         {"a", []string{"a", "b<a", "c<b"}, ""},
		"moved elsewhere":              {"a", []string{"b<a", "c<a"}, "not https://git.in.local/a as move= says"},
		"where it is being moved":      {"a", []string{"b<a", "b"}, ""},
		"where it is being moved from": {"a", []string{"b<a", "a"}, "exists with the origin https://git.in.local/b"},
		"never there":                  {"a", []string{"a", "c<b"}, "not https://git.in.local/b as move= says"},
		"made, and pulled":             {"", []string{"a", "a"}, ""},
		"made, and moved":              {"", []string{"a", "b<a"}, ""},
		"made from another":            {"", []string{"a", "b"}, "another request is just giving the mirror the origin https://git.in.local/a"},
		"made, and moved from another": {"", []string{"a", "c<b"}, "another request is just giving the mirror the origin https://git.in.local/a"},
	} {
		s, name := newTestStore(t), named("m")
		if c.stored != "" {
			initMirror(t, s, name)
			if err := (&stateFile{Origin: at(c.stored).String()}).write(s.dir.MirrorDir(name)); err != nil {
				t.Fatal(err)
			}
		}
		for i, text := range c.requests {
			to, from, _ := strings.Cut(text, "<")
			release, err := s.reserve(&Request{Name: name, Origin: at(to), Move: at(from), Wanted: time.Now()})
			switch last := i == len(c.requests)-1; {
			case last && c.refused != "" && errors.As(err, new(*storage.Conflict)) && strings.Contains(err.Error(), c.refused):
			case err != nil || last && c.refused != "":
				t.Errorf("%s: %s: %v", what, text, err)
			default:
				defer release()
			}
		}
	}
}

// TestReadsShareAReservation: a read wants what is being made, and its own origin only if nothing is.
func TestReadsShareAReservation(t *testing.T) {
	s, name := newTestStore(t), named("m")
	table, posted := parsed(t, "https://git.in.local/a"), parsed(t, "https://jack:secret@other.in.local/b")
	post := Request{Name: name, Origin: posted, Wanted: time.Now()}
	posting, err := s.reserve(&post)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []origin.URL{posted, table} {
		read := Request{Name: name, Origin: table, OnDemand: true}
		release, err := s.reserve(&read)
		if err != nil {
			t.Fatal(err)
		}
		if read.Origin != want {
			t.Errorf("the read is of %s, want %s", read.Origin, want)
		}
		release()
		if want == posted {
			posting()
		}
	}
}

// TestReservationAfterARefusal: a move that comes to nothing leaves the others what they want.
func TestReservationAfterARefusal(t *testing.T) {
	s, name := newTestStore(t), named("m")
	now := time.Unix(1000, 0).UTC()
	if err := s.dir.WriteTombstone(name, storage.Tombstone{Name: "m", At: now}); err != nil {
		t.Fatal(err)
	}
	a, b := parsed(t, "https://git.in.local/a"), parsed(t, "https://git.in.local/b")
	for _, c := range []struct {
		req     Request
		refused bool
	}{
		{Request{Name: name, Origin: a, Wanted: now.Add(time.Hour)}, false},
		{Request{Name: name, Origin: b, Move: a, Wanted: now.Add(-time.Hour)}, true}, // it was deleted since
		{Request{Name: name, Origin: a, Wanted: now.Add(time.Hour)}, false},
	} {
		release, err := s.reserve(&c.req)
		if (err != nil) != c.refused {
			t.Errorf("%s: %v", c.req.Origin, err)
		}
		if err == nil {
			defer release()
		}
	}
}

// TestAdopting: who asks for a mirror that a read is just making need not spell its origin in the same way.
func TestAdopting(t *testing.T) {
	s, name := newTestStore(t), named("m")
	read, other := parsed(t, "https://git.in.local/a"), parsed(t, "git@git.in.local:a.git")
	release, err := s.reserve(&Request{Name: name, Origin: read, OnDemand: true})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	for what, c := range map[string]struct {
		req  Request
		want origin.URL
	}{
		"another spelling":  {Request{Name: name, Origin: other}, read},
		"the same":          {Request{Name: name, Origin: read}, origin.URL{}},
		"another origin":    {Request{Name: name, Origin: parsed(t, "https://git.in.local/b")}, origin.URL{}},
		"by another server": {Request{Name: name, Origin: other, OriginOnly: true}, origin.URL{}},
		"another mirror":    {Request{Name: named("n"), Origin: other}, origin.URL{}},
	} {
		if got := s.adopting(c.req).Move; got != c.want {
			t.Errorf("%s: moved from %q", what, got)
		}
	}
	adopted := s.adopting(Request{Name: name, Origin: other, Wanted: time.Now()})
	after, err := s.reserve(&adopted)
	if err != nil {
		t.Fatal(err)
	}
	defer after()
	if got := s.adopting(Request{Name: name, Origin: parsed(t, "ssh://git@git.in.local/a")}).Move; got.Known() {
		t.Errorf("what somebody has chosen is moved from %s", got)
	}
}

// TestFollowed: who is told of a repository finds the mirrors that follow it when what runs has ended.
func TestFollowed(t *testing.T) {
	s := newTestStore(t)
	at := func(path string) origin.URL {
		from, err := origin.Parse("https://git.in.local/"+path, false)
		if err != nil {
			t.Fatal(err)
		}
		return from
	}
	for _, one := range []string{"quiet", "pulled", "moved"} {
		initMirror(t, s, named(one))
		if err := (&stateFile{Origin: at(one).String()}).write(s.dir.MirrorDir(named(one))); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(named(one)); err != nil {
			t.Fatal(err)
		}
	}
	for _, one := range []string{"read", "pulled-on", "chosen"} {
		onDemandMirror(t, s, named(one))
	}
	initMirror(t, s, named("unreadable"))
	if err := os.WriteFile(filepath.Join(s.dir.MirrorDir(named("unreadable")), storage.StateFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(named("unreadable")); err == nil {
		t.Fatal("a mirror without its state can be read")
	}
	for _, req := range []Request{
		{Name: named("pulled"), Origin: at("pulled"), Wanted: time.Now()},
		{Name: named("moved"), Origin: at("elsewhere"), Move: at("moved"), Wanted: time.Now()},
		{Name: named("made"), Origin: at("made"), Wanted: time.Now()},
		{Name: named("by-a-read"), Origin: at("by-a-read"), OnDemand: true},
		{Name: named("nobody"), Wanted: time.Now()},
		{Name: named("pulled-on"), Origin: at("pulled-on"), Own: true},
		{Name: named("chosen"), Origin: at("chosen"), Wanted: time.Now()},
		{Name: named("unreadable"), Origin: at("unreadable"), Wanted: time.Now()},
	} {
		release, err := s.reserve(&req)
		if err != nil {
			t.Fatal(err)
		}
		defer release()
	}
	want := []Followed{
		{Name: named("by-a-read"), Next: at("by-a-read"), Own: true},
		{Name: named("chosen"), Next: at("chosen")}, // somebody asks for it, whose pull is not over
		{Name: named("made"), Next: at("made")},
		{Name: named("moved"), Origin: at("moved"), Next: at("elsewhere")},
		{Name: named("pulled"), Origin: at("pulled")},
		{Name: named("pulled-on"), Next: at("pulled-on"), Own: true},
		{Name: named("quiet"), Origin: at("quiet")},
		{Name: named("read"), Own: true},
		{Name: named("unreadable"), Next: at("unreadable")}, // it is being made anew
	}
	for range 2 {
		got := slices.SortedFunc(s.Followed(), func(a, b Followed) int { return strings.Compare(a.Name.String(), b.Name.String()) })
		if !slices.Equal(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
}
