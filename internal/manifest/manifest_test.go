package manifest

import (
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
)

// TestStamp gives each content a time of its own, also within a second and when the clock is set back.
func TestStamp(t *testing.T) {
	at := func(seconds float64) time.Time { return time.UnixMilli(int64(seconds * 1000)) }
	for _, c := range []struct {
		before *Manifest
		now    time.Time
		want   time.Time
	}{
		{nil, at(10.7), at(10)},
		{&Manifest{Modified: at(10)}, at(12.3), at(12)},
		{&Manifest{Modified: at(10)}, at(10.9), at(11)},
		{&Manifest{Modified: at(11)}, at(10.95), at(12)},
		{&Manifest{Modified: at(1000)}, at(10), at(1001)},
	} {
		if got := stamp(c.before, c.now); !got.Equal(c.want) {
			t.Errorf("%v, %s: %s, want %s", c.before, c.now, got, c.want)
		}
	}
}

func TestEntry(t *testing.T) {
	const id = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	snap := &mirror.Snapshot{Listing: git.Listing{
		Refs: []git.Ref{{Name: "refs/heads/main", ID: id, Peeled: id}, {Name: "refs/tags/v1", ID: id, Peeled: id}},
		Head: git.Head{Ref: "refs/heads/main", ID: id},
	}}
	e := entryOf(snap, time.Unix(7, 5))
	// printf '%s refs/heads/main\n%s refs/tags/v1\n' $id $id | sha1sum
	want := entry{Modified: 7, Fingerprint: "92a0e99818d38722cc31cef5cd65b71f20ad25e3", Head: "ref: refs/heads/main"}
	if *e != want {
		t.Errorf("%+v, want %+v", *e, want)
	}
	snap.Head = git.Head{ID: id}
	if e := entryOf(snap, time.Unix(7, 5)); e.Head != "" {
		t.Errorf("the head of a detached HEAD is %q", e.Head)
	}
}
