package cluster

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/git/gittest"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/protocol"
)

func TestStatusOf(t *testing.T) {
	name := named("pool/x")
	from, err := origin.Parse("https://jack:secret@git.in.local/x.git", false)
	if err != nil {
		t.Fatal(err)
	}
	listing := git.Listing{Head: git.Head{Ref: "refs/heads/main", ID: gittest.ID("8")}, Refs: make([]git.Ref, 3)}
	pulled := time.Unix(1447000000, 0)
	fine := &mirror.Snapshot{Listing: listing, Fingerprint: "f", Outcome: mirror.Success, Pulled: pulled, Origin: from}
	broken := &mirror.Snapshot{Listing: listing, Fingerprint: "f", Outcome: mirror.Failed, Pulled: pulled, Origin: from, From: "slave1:80",
		LastError: "can't fetch:\n fatal: unable to access 'https://jack:secret@git.in.local/x.git/'\a"}
	known := protocol.Mirror{
		Name: "pool/x", State: "success", ModifyDate: 1447000000, Origin: "https://git.in.local/x.git",
		Branch: "refs/heads/main", Revision: gittest.ID("8"), Fingerprint: "f", Refs: 3, From: "origin",
	}
	began := &protocol.Progress{Since: time.Time{}.Unix()}
	for _, c := range []struct {
		s          *mirror.Snapshot
		running    *mirror.Progress
		unreadable string
		want       func(m *protocol.Mirror)
	}{
		{fine, nil, "", func(*protocol.Mirror) {}},
		{fine, &mirror.Progress{}, "", func(m *protocol.Mirror) { m.State, m.Pull = "processing", began }},
		{broken, nil, "", func(m *protocol.Mirror) {
			m.State, m.From = "failed", "slave1:80"
			m.Error = "can't fetch: fatal: unable to access 'https://***@git.in.local/x.git/'"
		}},
		{&mirror.Snapshot{Outcome: mirror.Unknown}, nil, "", func(m *protocol.Mirror) { *m = protocol.Mirror{Name: "pool/x", State: "unknown"} }},
		{nil, nil, "", func(m *protocol.Mirror) { *m = protocol.Mirror{Name: "pool/x", State: "unknown"} }},
		{nil, nil, "no\nHEAD", func(m *protocol.Mirror) { *m = protocol.Mirror{Name: "pool/x", State: "failed", Error: "no; HEAD"} }},
		{nil, &mirror.Progress{}, "", func(m *protocol.Mirror) { *m = protocol.Mirror{Name: "pool/x", State: "processing", Pull: began} }},
	} {
		want := known
		c.want(&want)
		if got := StatusOf(name, c.s, c.running, c.unreadable); !reflect.DeepEqual(got, want) {
			t.Errorf("got\n%+v\nwant\n%+v", got, want)
		}
	}
}

// TestProgressTellsPercentsFromTheFirst: also none of a known number, and nothing where no number is known.
func TestProgressTellsPercentsFromTheFirst(t *testing.T) {
	for want, step := range map[string]git.Progress{
		`"percent":0,`: {Total: 7}, `"percent":34,`: {Total: 100, Percent: 34}, "": {Step: "asking"},
	} {
		text, err := json.Marshal(ProgressOf(mirror.Step{Progress: step}))
		if err != nil || !strings.Contains(string(text), want) || want == "" && strings.Contains(string(text), "percent") {
			t.Errorf("%+v: %s, %v", step, text, err)
		}
	}
}
