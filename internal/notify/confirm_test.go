package notify

import (
	"testing"
	"time"

	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/mirror"
)

func TestConfirmed(t *testing.T) {
	a, b, c, foreign := state("main=1"), state("main=2"), state("main=3 x=1"), state("main=9")
	again := state("main=1")
	shallow := *b
	shallow.Shallow = true
	of := func(s *mirror.Snapshot) cluster.Copy {
		return cluster.Copy{Fingerprint: s.Fingerprint, Shallow: s.Shallow}
	}
	byHead := cluster.Copy{Fingerprint: "other", Revision: b.Head.ID, OtherRefs: true}
	for _, test := range []struct {
		name   string
		states []*mirror.Snapshot
		copies []cluster.Copy
		want   *mirror.Snapshot
	}{
		{"no others", []*mirror.Snapshot{a, b}, nil, b},
		{"all have the latest", []*mirror.Snapshot{a, b}, []cluster.Copy{of(b), of(b)}, b},
		{"one is behind", []*mirror.Snapshot{a, b, c}, []cluster.Copy{of(c), of(b)}, b},
		{"one is where nobody else is", []*mirror.Snapshot{a, b, c}, []cluster.Copy{of(b), of(a), of(c)}, a},
		{"one has something else", []*mirror.Snapshot{a, b}, []cluster.Copy{of(b), of(foreign)}, nil},
		{"one has a part of the history", []*mirror.Snapshot{b}, []cluster.Copy{of(&shallow)}, nil},
		{"one has other refs", []*mirror.Snapshot{a, b, c}, []cluster.Copy{of(c), byHead}, b},
		{"it has become what it was", []*mirror.Snapshot{a, b, again}, []cluster.Copy{of(a)}, again},
	} {
		got := confirmed(test.states, test.copies)
		if got != test.want {
			t.Errorf("%s: %+v", test.name, got)
		}
	}
}

// TestStatesAreBounded: of many states the latest are remembered, and those that are told are forgotten.
func TestStatesAreBounded(t *testing.T) {
	var u unsure
	for range 3 * maxStates {
		u.become(state("main=1"))
	}
	last := u.states[maxStates-1]
	if len(u.states) != maxStates || u.settle(news{snap: u.states[2]}) || len(u.states) != maxStates-3 {
		t.Errorf("%d states", len(u.states))
	}
	if u.settle(news{snap: state("main=2")}) || !u.settle(news{snap: last}) {
		t.Errorf("%d states are left", len(u.states))
	}
}

// TestRemovalIsSettled: it is when it was told, unless there is a mirror again or it was removed again since.
func TestRemovalIsSettled(t *testing.T) {
	at := time.Unix(1, 0)
	var u unsure
	u.become(state("main=1"))
	u.remove(at)
	if len(u.states) > 0 || u.settle(news{removed: at.Add(1)}) || !u.settle(news{removed: at}) {
		t.Errorf("%+v", u)
	}
	u.become(state("main=2"))
	if u.settle(news{removed: at}) || !u.settle(news{snap: u.states[0]}) {
		t.Errorf("%+v", u)
	}
}
