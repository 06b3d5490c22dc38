package mirror

import (
	"errors"
	"testing"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
)

// TestExplain: each reason is given once, and none speaks against another.
func TestExplain(t *testing.T) {
	down := &unreachable{err: &git.Error{Stderr: "fatal: unable to connect:\nConnection refused"}}
	same, late := errors.New("fatal: unable to connect: Connection refused"), errors.New("no answer within 20s")
	for want, c := range map[string]struct {
		failed  []peerFailure
		outcome error
	}{
		"fatal: unable to connect:\nConnection refused":                                               {},
		"├─ fatal: unable to connect:\n│  Connection refused\n└─ no peer can reach the origin either": {[]peerFailure{{"a", same}, {"b", same}}, nil},
		"├─ fatal: unable to connect:\n│  Connection refused\n├─ peers b, c\n│  └─ no answer within 20s\n└─ a can't reach the origin either": {
			[]peerFailure{{"a", same}, {"b", late}, {"c", late}}, nil},
		"├─ fatal: unable to connect:\n│  Connection refused\n├─ no peer can reach the origin either\n└─ what a had is here now": {
			[]peerFailure{{"a", same}}, errors.New("what a had is here now")},
		"├─ fatal: unable to connect:\n│  Connection refused\n├─ peer a\n│  └─ no answer within 20s\n├─ peer b\n│  └─ x\n└─ y": {
			[]peerFailure{{"a", late}, {"b", errors.New("x")}}, errors.New("y")},
	} {
		err := explain(down, c.failed, c.outcome)
		if got := errtext.Tree(err); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		if !IsUnreachable(err) {
			t.Errorf("%v is no reason to leave the origin alone", err)
		}
	}
}
