package main

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/git/gittest"
	"github.com/reconquest/sould/internal/storage"
)

func TestVerdict(t *testing.T) {
	states := map[byte]pullState{'+': stateSuccess, '-': stateFailed, '.': stateProcessing}
	for _, c := range []struct {
		servers string // the first is the one that answers
		want    int
	}{
		{"+", 200}, {"-", 500}, {".", 202},
		{"++", 200}, {"+++", 200},
		{"-+", 500}, {"-++", 500},
		{"+-", 502}, {"+--", 502}, {"++-", 502}, {"-+-", 502},
		{"--", 503}, {"---", 503},
		{".+", 202}, {"+.", 202}, {"-.", 202}, {"+-.", 202}, {".--", 202},
	} {
		var all []outcome
		for i := range c.servers {
			all = append(all, outcome{State: states[c.servers[i]]})
		}
		if got := verdict(all[0], all[1:]); got != c.want {
			t.Errorf("verdict(%s) = %d, want %d", c.servers, got, c.want)
		}
	}
}

func TestReportForPeople(t *testing.T) {
	ok := outcome{State: stateSuccess, Branch: "refs/heads/main", Revision: gittest.ID("8"), Changed: 2, Seconds: 0.123}
	bad := failed(fmt.Errorf("can't fetch: %w", &git.Error{Stderr: "fatal: unable to access 'https://git/x.git/': no route"}))
	slave := func(address string, o outcome) outcome { o.Address = address; return o }
	late := failed(errors.New("no answer within 20s"))
	make := func(local outcome, slaves ...outcome) *report {
		local.Slaves = slaves
		return &report{Name: "dev/x", Origin: "https://git/x.git", outcome: local, Status: verdict(local, slaves), waited: time.Second}
	}
	for want, r := range map[string]*report{
		"dev/x  888888888888  2 refs changed  0.12s\n": make(ok),
		"master       888888888888  2 refs changed  0.12s\n" +
			"slave1       888888888888  1 ref changed   0.12s\n" +
			"slave2:8080  pulled        unchanged       0.20s\n": make(ok,
			slave("slave1", outcome{State: stateSuccess, Branch: "b", Revision: gittest.ID("8"), Changed: 1, Seconds: 0.123}),
			slave("slave2:8080", outcome{State: stateSuccess, Seconds: 0.2})),
		"dev/x  empty  unchanged  0.00s\n": make(outcome{State: stateSuccess}),
		`dev/x (https://git/x.git)
└─ can't fetch
   └─ fatal: unable to access 'https://git/x.git/': no route
`: make(bad),
		`dev/x (https://git/x.git)
├─ master
│  └─ can't fetch
│     └─ fatal: unable to access 'https://git/x.git/': no route
└─ slave slave2.local
   └─ no answer within 20s
`: make(bad, slave("slave2.local", late)),
		`dev/x (https://git/x.git)
├─ slave b
│  └─ no answer within 20s
└─ pulled: master, a
`: make(ok, slave("a", ok), slave("b", late)),
		`dev/x (https://git/x.git): not finished after 1.00s, the work goes on
├─ master
│  └─ fetching
├─ slave a
│  └─ no answer yet
└─ /x/status?name=dev/x tells when it is done
`: make(outcome{State: stateProcessing, Progress: "fetching"}, slave("a", outcome{State: stateProcessing})),
	} {
		if got := r.String(); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
}

func TestStatusOfErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{errors.New("x"), http.StatusInternalServerError},
		{fmt.Errorf("y: %w", fail(kindUnsatisfied, "x")), http.StatusPreconditionFailed},
		{fmt.Errorf("y: %w", storage.Conflictf("x")), http.StatusConflict},
		{&access.Refusal{WrongHost: true}, http.StatusMisdirectedRequest},
		{fmt.Errorf("y: %w", &access.Refusal{}), http.StatusUnauthorized},
		{errEmptyMirror, http.StatusConflict},
		{fmt.Errorf("y: %w", errUnknownMirror), http.StatusNotFound},
		{fmt.Errorf("y: %w", git.ErrNotFound), http.StatusNotFound},
		{&git.Error{Err: errClosing}, http.StatusServiceUnavailable},
	} {
		if got := status(c.err); got != c.want {
			t.Errorf("status(%v) = %d, want %d", c.err, got, c.want)
		}
	}
	for k := kindBroken; k <= kindUnavailable; k++ {
		if statuses[k] < 400 {
			t.Errorf("kind %d has no status", k)
		}
	}
}
