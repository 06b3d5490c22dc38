package cluster

import (
	"testing"
	"time"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/protocol"
)

func TestRelate(t *testing.T) {
	at := func(minute int) time.Time { return time.Unix(1_000_000, 0).Add(time.Duration(minute) * time.Minute) }
	from, other := mustParse(t, "https://git.in.local/a.git"), mustParse(t, "https://git.in.local/b.git")
	one := func(change func(*holding)) *holding {
		h := holding{origin: from, fingerprint: "f", pulled: at(10), wanted: at(10), healthy: true}
		change(&h)
		return &h
	}
	same := func(*holding) {}
	for _, c := range []struct {
		what         string
		ours, theirs *holding
		asked        int // minute
		removed      time.Time
		want         Relation
	}{
		{"the same", one(same), one(same), 20, time.Time{}, Equal},
		{"older there", one(same), one(func(h *holding) { h.fingerprint, h.pulled = "g", at(5) }), 20, time.Time{}, Behind},
		{"newer there", one(same), one(func(h *holding) { h.fingerprint, h.pulled = "g", at(15) }), 20, time.Time{}, Ahead},
		{"later, but failed there", one(same), one(func(h *holding) { h.fingerprint, h.pulled, h.healthy = "g", at(15), false }), 20, time.Time{}, Behind},
		{"a former origin there", one(func(h *holding) { h.formers = append(h.formers, other) }), one(func(h *holding) { h.origin = other }), 20, time.Time{}, Behind},
		{"shallow there", one(same), one(func(h *holding) { h.shallow = true }), 20, time.Time{}, Behind},
		{"shallow here", one(func(h *holding) { h.shallow = true }), one(same), 20, time.Time{}, Ahead},
		{"none there", one(same), nil, 20, time.Time{}, Missing},
		{"none here", nil, one(same), 20, time.Time{}, Ahead},
		{"none anywhere", nil, nil, 20, time.Time{}, Missing},
		{"removed here", nil, one(same), 20, at(15), Removed},
		{"removed here, and asked for again there", nil, one(same), 20, at(5), Ahead},
		{"being pulled there", one(same), one(func(h *holding) { h.fingerprint, h.busy = "g", true }), 20, time.Time{}, Busy},
		{"being pulled here", one(func(h *holding) { h.busy = true }), one(func(h *holding) { h.fingerprint = "g" }), 20, time.Time{}, Unasked},
		{"pulled here since it was asked", one(same), one(func(h *holding) { h.fingerprint, h.pulled = "g", at(5) }), 10, time.Time{}, Unasked},
		{"none there when it was asked before", one(same), nil, 9, time.Time{}, Unasked},
		{"never pulled here", one(func(h *holding) { h.pulled = time.Time{} }), one(func(h *holding) { h.fingerprint = "g" }), 20, time.Time{}, Other},
	} {
		if got := relate(named("m"), c.ours, c.theirs, at(c.asked), c.removed); got != c.want {
			t.Errorf("%s: %s, not %s", c.what, got, c.want)
		}
	}
}

// TestApart: what reads have made is each server's own business.
func TestApart(t *testing.T) {
	there := Sight{Doc: &protocol.Status{}, Asked: time.Unix(2_000_000, 0), mirrors: map[string]*protocol.Mirror{
		"read": {Name: "read", OnDemand: true, Revision: "1"}, "posted": {Name: "posted", Revision: "1"},
	}}
	read, posted := &mirror.Snapshot{OnDemand: true}, &mirror.Snapshot{Pulled: time.Unix(1_000_000, 0)}
	for _, c := range []struct {
		name string
		ours *mirror.Snapshot
		want Relation
	}{{"read", read, Apart}, {"read", nil, Apart}, {"posted", read, Apart}, {"none", read, Apart}, {"none", posted, Missing}, {"posted", nil, Ahead}} {
		if got, _ := there.Relation(named(c.name), c.ours, false, time.Time{}); got != c.want {
			t.Errorf("%s, %+v here: %s, not %s", c.name, c.ours, got, c.want)
		}
	}
	for name := range there.Names {
		if name == "read" {
			t.Error("the names have one that was made on demand")
		}
	}
}
