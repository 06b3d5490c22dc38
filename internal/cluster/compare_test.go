package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/storage"
)

func TestCompare(t *testing.T) {
	from, err := origin.Parse("https://git.in.local/x.git", false)
	if err != nil {
		t.Fatal(err)
	}
	ours := holding{origin: from, fingerprint: "b", pulled: time.Unix(100, 0), healthy: true}
	with := func(h holding, change func(*holding)) holding { change(&h); return h }
	old, older, other := mustParse(t, "https://old.in.local/x.git"), mustParse(t, "https://older.in.local/x.git"), mustParse(t, "https://other.in.local/x.git")
	moved := with(ours, func(h *holding) { h.formers = []origin.URL{old, older} })
	anew := with(ours, func(h *holding) { h.removed = time.Unix(80, 0); h.wanted = time.Unix(81, 0) })
	accepted := with(ours, func(h *holding) { h.accepted = time.Unix(95, 0) })
	for _, c := range []struct {
		what         string
		ours, theirs holding
		stale, newer bool
		former       origin.URL
		accept       refs.Acceptance
		removed      time.Time
	}{
		{"the same", ours, holding{fingerprint: "b", pulled: time.Unix(1, 0)}, false, false, origin.URL{}, "", time.Time{}},
		{"the same, and it has failed since", ours, holding{fingerprint: "b", pulled: time.Unix(90, 0)}, false, false, origin.URL{}, "", time.Time{}},
		{"the same refs, and less of their history", ours, holding{fingerprint: "b", pulled: time.Unix(110, 0), healthy: true, shallow: true}, true, false, origin.URL{}, "", time.Time{}},
		{"the same refs, and more of their history", with(ours, func(h *holding) { h.shallow = true }), holding{fingerprint: "b", pulled: time.Unix(90, 0), healthy: true}, false, true, origin.URL{}, "", time.Time{}},
		{"the same refs, both with a part of their history", with(ours, func(h *holding) { h.shallow = true }), holding{fingerprint: "b", pulled: time.Unix(90, 0), shallow: true}, false, false, origin.URL{}, "", time.Time{}},
		{"it has none", ours, holding{}, true, false, origin.URL{}, "", time.Time{}},
		{"older", ours, holding{fingerprint: "a", pulled: time.Unix(90, 0), healthy: true}, true, false, origin.URL{}, "", time.Time{}},
		{"as old", ours, holding{fingerprint: "a", pulled: time.Unix(100, 0), healthy: true}, true, false, origin.URL{}, "", time.Time{}},
		{"later", ours, holding{fingerprint: "c", pulled: time.Unix(110, 0), healthy: true}, false, true, origin.URL{}, "", time.Time{}},
		{"later, but it says itself that it is not current", ours, holding{fingerprint: "c", pulled: time.Unix(110, 0)}, true, false, origin.URL{}, "", time.Time{}},
		{"the slave pulls", ours, holding{fingerprint: "a", busy: true}, false, false, origin.URL{}, "", time.Time{}},
		{"we pull", with(ours, func(h *holding) { h.busy = true }), holding{fingerprint: "a"}, false, false, origin.URL{}, "", time.Time{}},
		{"our origin is unknown", with(ours, func(h *holding) { h.origin = origin.URL{} }), holding{}, false, false, origin.URL{}, "", time.Time{}},
		{"we never pulled", with(ours, func(h *holding) { h.pulled = time.Time{} }), holding{}, false, false, origin.URL{}, "", time.Time{}},
		{"it has missed a move", moved, holding{origin: old, fingerprint: "a", pulled: time.Unix(90, 0), healthy: true}, true, false, old, "", time.Time{}},
		{"it has missed two moves", moved, holding{origin: older, fingerprint: "a"}, true, false, older, "", time.Time{}},
		{"it has missed a move to the same content", moved, holding{origin: old, fingerprint: "b", pulled: time.Unix(90, 0)}, true, false, old, "", time.Time{}},
		{"it goes on following the old origin", moved, holding{origin: old, fingerprint: "c", pulled: time.Unix(110, 0), healthy: true}, true, false, old, "", time.Time{}},
		{"it follows another origin", moved, holding{origin: other, fingerprint: "b", pulled: time.Unix(90, 0)}, false, false, origin.URL{}, "", time.Time{}},
		{"it follows another origin, which has other content", moved, holding{origin: other, fingerprint: "a"}, true, false, origin.URL{}, "", time.Time{}},
		{"nobody knows what it follows", moved, holding{fingerprint: "a"}, true, false, old, "", time.Time{}},
		{"deletions were accepted since", accepted, holding{fingerprint: "a", pulled: time.Unix(90, 0), healthy: true}, true, false, origin.URL{}, "b", time.Time{}},
		{"deletions were accepted before", accepted, holding{fingerprint: "a", pulled: time.Unix(97, 0), healthy: true}, true, false, origin.URL{}, "", time.Time{}},
		{"we are not current ourselves", with(ours, func(h *holding) { h.healthy = false }), holding{fingerprint: "a", pulled: time.Unix(90, 0)}, true, false, origin.URL{}, "", time.Time{}},
		{"it has what was removed before", anew, holding{origin: old, fingerprint: "a", pulled: time.Unix(90, 0), wanted: time.Unix(70, 0), healthy: true}, true, false, origin.URL{}, "", time.Unix(80, 0)},
		{"it has what was removed before, and has pulled it since", anew, holding{origin: from, fingerprint: "a", pulled: time.Unix(110, 0), wanted: time.Unix(70, 0), healthy: true}, true, false, origin.URL{}, "", time.Unix(80, 0)},
		{"it has what was made anew", anew, holding{origin: from, fingerprint: "a", pulled: time.Unix(90, 0), wanted: time.Unix(81, 0), healthy: true}, true, false, origin.URL{}, "", time.Time{}},
		{"what was removed cannot be read, or is not there", anew, holding{}, true, false, origin.URL{}, "", time.Time{}},
	} {
		m := named("m")
		slave := map[storage.Name]holding{m: c.theirs}
		stale, newer := compare(map[storage.Name]holding{m: c.ours}, slave)
		if (len(stale) == 1) != c.stale || (len(newer) == 1) != c.newer {
			t.Errorf("%s: stale %v, newer %v", c.what, stale, newer)
		} else if c.stale && (!stale[0].former.Same(c.former) || stale[0].accept != c.accept || !stale[0].removed.Equal(c.removed)) {
			t.Errorf("%s: %+v", c.what, stale[0])
		}
	}
}

func TestOutlivedAndLacking(t *testing.T) {
	removed := func(n storage.Name) (time.Time, bool) {
		return time.Unix(100, 0), strings.HasPrefix(n.String(), "removed")
	}
	ours := map[storage.Name]holding{named("both"): {}, named("removed/and/back"): {}}
	theirs := map[storage.Name]holding{
		named("both"): {pulled: time.Unix(50, 0)}, named("removed/and/back"): {pulled: time.Unix(50, 0)}, named("removed/here"): {pulled: time.Unix(50, 0)},
		named("removed/and/pulled/since"): {pulled: time.Unix(150, 0)}, named("removed/busy"): {busy: true}, named("removed/and/wanted/since"): {wanted: time.Unix(150, 0)}, named("removed/and/wanted/before"): {wanted: time.Unix(50, 0)}, named("only/there"): {},
	}
	names := func(all []difference) (got []string) {
		for _, d := range all {
			got = append(got, fmt.Sprintf("%s %v", d.name, d.refused != nil))
		}
		return got
	}
	if got := names(outlived(theirs, removed, ours)); !slices.Equal(got, []string{"removed/and/pulled/since false", "removed/and/wanted/before false", "removed/here false"}) {
		t.Errorf("outlived are %q", got)
	}
	listed := []protocol.Mirror{
		{Name: "both", Fingerprint: "a", Origin: "https://git.in.local/x"},
		{Name: "new", Fingerprint: "a", Origin: "https://git.in.local/x"},
		{Name: "local", Fingerprint: "a", Origin: "/etc"},
		{Name: "nowhere", Fingerprint: "a"},
		{Name: "evil", Fingerprint: "a", Origin: "ext::sh -c id"},
		{Name: "unread", Origin: "https://git.in.local/x"},
		{Name: "removed/here", Fingerprint: "a", Origin: "https://git.in.local/x"},
		{Name: "removed/before", Fingerprint: "a", Origin: "https://git.in.local/x", Wanted: time.Unix(150, 0).UnixNano()},
		{Name: "removed/since", Fingerprint: "a", Origin: "https://git.in.local/x", Wanted: time.Unix(50, 0).UnixNano()},
		{Name: "../out", Fingerprint: "a", Origin: "https://git.in.local/x"},
	}
	want := []string{"evil true", "local true", "new false", "nowhere true", "removed/before false"}
	if got := names(lacking(ours, listed, removed, false)); !slices.Equal(got, want) {
		t.Errorf("lacking are %q, want %q", got, want)
	}
	want[1] = "local false"
	if got := names(lacking(ours, listed, removed, true)); !slices.Equal(got, want) {
		t.Errorf("with --unsecure lacking are %q, want %q", got, want)
	}
}

func TestNewer(t *testing.T) {
	now := mirror.Have{Pulled: time.Unix(100, 0), Fingerprint: "m"}
	damaged, none := now, mirror.Have{None: true}
	damaged.Damaged = true
	at := func(seconds int64, f refs.Fingerprint) replica {
		return replica{has: true, Source: mirror.Source{Pulled: time.Unix(seconds, 0), Fingerprint: f}}
	}
	for _, c := range []struct {
		what    string
		replica replica
		have    mirror.Have
		want    bool
	}{
		{"later", at(101, "a"), now, true},
		{"older", at(99, "z"), now, false},
		{"as old and the same", at(100, "m"), now, false},
		{"as old and other: one of the two, on both sides", at(100, "z"), now, true},
		{"as old and other: the same one of the two", at(100, "a"), now, false},
		{"nothing is here", at(1, "a"), none, true},
		{"it has nothing", replica{}, none, false},
		{"what is here is damaged, and it has the same", at(50, "m"), damaged, true},
		{"what is here is damaged, and it has older content", at(50, "a"), damaged, false},
	} {
		if got := newer([]replica{c.replica}, c.have); (len(got) == 1) != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}

// named returns a valid mirror name.
func named(raw string) storage.Name {
	n, err := storage.ParseName(raw)
	if err != nil {
		panic(err)
	}
	return n
}

func mustParse(t *testing.T, url string) origin.URL {
	t.Helper()
	o, err := origin.Parse(url, true)
	if err != nil {
		t.Fatal(err)
	}
	return o
}
