package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func name(t *testing.T, raw string) Name {
	t.Helper()
	n, err := ParseName(raw)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestCompare(t *testing.T) {
	origin, err := ParseOrigin("https://git.in.local/x.git", false)
	if err != nil {
		t.Fatal(err)
	}
	ours := holding{origin: origin, fingerprint: "b", pulled: time.Unix(100, 0), healthy: true}
	with := func(h holding, change func(*holding)) holding { change(&h); return h }
	for _, c := range []struct {
		what          string
		ours, theirs  holding
		behind, ahead bool
	}{
		{"the same", ours, holding{fingerprint: "b", pulled: time.Unix(1, 0)}, false, false},
		{"the same, and it has failed since", ours, holding{fingerprint: "b", pulled: time.Unix(90, 0)}, false, false},
		{"it has none", ours, holding{}, true, false},
		{"older", ours, holding{fingerprint: "a", pulled: time.Unix(90, 0), healthy: true}, true, false},
		{"as old", ours, holding{fingerprint: "a", pulled: time.Unix(100, 0), healthy: true}, true, false},
		{"later", ours, holding{fingerprint: "c", pulled: time.Unix(110, 0), healthy: true}, false, true},
		{"later, but it says itself that it is not current", ours, holding{fingerprint: "c", pulled: time.Unix(110, 0)}, true, false},
		{"it pulls", ours, holding{fingerprint: "a", busy: true}, false, false},
		{"we pull", with(ours, func(h *holding) { h.busy = true }), holding{fingerprint: "a"}, false, false},
		{"we do not know where from", with(ours, func(h *holding) { h.origin = Origin{} }), holding{}, false, false},
		{"we never pulled", with(ours, func(h *holding) { h.pulled = time.Time{} }), holding{}, false, false},
		{"we are not current ourselves", with(ours, func(h *holding) { h.healthy = false }), holding{fingerprint: "a", pulled: time.Unix(90, 0)}, true, false},
	} {
		m := name(t, "m")
		slave := map[Name]holding{m: c.theirs}
		behind, ahead := compare(map[Name]holding{m: c.ours}, slave)
		if (len(behind) == 1) != c.behind || (len(ahead) == 1) != c.ahead {
			t.Errorf("%s: behind %v, ahead %v", c.what, behind, ahead)
		}
	}
}

func TestOutlivedAndLacking(t *testing.T) {
	removed := func(n Name) (time.Time, bool) { return time.Unix(100, 0), strings.HasPrefix(n.s, "removed") }
	ours := map[Name]holding{name(t, "both"): {}, name(t, "removed/and/back"): {}}
	theirs := map[Name]holding{
		name(t, "both"): {pulled: time.Unix(50, 0)}, name(t, "removed/and/back"): {pulled: time.Unix(50, 0)}, name(t, "removed/here"): {pulled: time.Unix(50, 0)},
		name(t, "removed/and/pulled/since"): {pulled: time.Unix(150, 0)}, name(t, "removed/busy"): {busy: true}, name(t, "only/there"): {},
	}
	names := func(all []difference) (got []string) {
		for _, d := range all {
			got = append(got, fmt.Sprintf("%s %v", d.name, d.refused != nil))
		}
		return got
	}
	if got := names(outlived(theirs, removed, ours)); !slices.Equal(got, []string{"removed/and/pulled/since false", "removed/here false"}) {
		t.Errorf("outlived are %q", got)
	}
	told := []mirrorStatus{
		{Name: "both", Fingerprint: "a", Origin: "https://git.in.local/x"},
		{Name: "new", Fingerprint: "a", Origin: "https://git.in.local/x"},
		{Name: "local", Fingerprint: "a", Origin: "/etc"},
		{Name: "nowhere", Fingerprint: "a"},
		{Name: "evil", Fingerprint: "a", Origin: "ext::sh -c id"},
		{Name: "unread", Origin: "https://git.in.local/x"},
		{Name: "removed/here", Fingerprint: "a", Origin: "https://git.in.local/x"},
		{Name: "../out", Fingerprint: "a", Origin: "https://git.in.local/x"},
	}
	want := []string{"evil true", "local true", "new false", "nowhere true"}
	if got := names(lacking(ours, told, removed, false)); !slices.Equal(got, want) {
		t.Errorf("lacking are %q, want %q", got, want)
	}
	want[1] = "local false"
	if got := names(lacking(ours, told, removed, true)); !slices.Equal(got, want) {
		t.Errorf("with --unsecure lacking are %q, want %q", got, want)
	}
}

func TestNewer(t *testing.T) {
	now := &Snapshot{Pulled: time.Unix(100, 0), Fingerprint: "m"}
	at := func(seconds int64, f Fingerprint) offer {
		return offer{has: true, pulled: time.Unix(seconds, 0), fingerprint: f}
	}
	for _, c := range []struct {
		what    string
		offer   offer
		now     *Snapshot
		damaged bool
		want    bool
	}{
		{"later", at(101, "a"), now, false, true},
		{"older", at(99, "z"), now, false, false},
		{"as old and the same", at(100, "m"), now, false, false},
		{"as old and other: one of the two, on both sides", at(100, "z"), now, false, true},
		{"as old and other: the same one of the two", at(100, "a"), now, false, false},
		{"nothing is here", at(1, "a"), nil, false, true},
		{"it has nothing", offer{}, nil, false, false},
		{"what is here is damaged, and it has the same", at(50, "m"), now, true, true},
		{"what is here is damaged, and it has older content", at(50, "a"), now, true, false},
	} {
		if got := newer([]offer{c.offer}, c.now, c.damaged); (len(got) == 1) != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}
