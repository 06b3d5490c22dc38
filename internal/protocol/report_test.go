package protocol

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/git/gittest"
)

func TestReportForPeople(t *testing.T) {
	ok := Outcome{State: Success, Branch: "refs/heads/main", Revision: gittest.ID("8"), Changed: 2, Seconds: 0.123}
	bad := Failure(fmt.Errorf("can't fetch: %w", &git.Error{Stderr: "fatal: unable to access 'https://git/x.git/': no route"}))
	slave := func(address string, o Outcome) Outcome { o.Address = address; return o }
	late := Failure(errors.New("no answer within 20s"))
	make := func(status int, local Outcome, slaves ...Outcome) *Report {
		local.Slaves = slaves
		return &Report{Name: "dev/x", Origin: "https://git/x.git", Outcome: local, Status: status, Waited: time.Second}
	}
	for want, r := range map[string]*Report{
		"dev/x  888888888888  2 refs changed  0.12s\n": make(200, ok),
		"master       888888888888  2 refs changed  0.12s\n" +
			"slave1       888888888888  1 ref changed   0.12s\n" +
			"slave2:8080  pulled        unchanged       0.20s\n": make(200, ok,
			slave("slave1", Outcome{State: Success, Branch: "b", Revision: gittest.ID("8"), Changed: 1, Seconds: 0.123}),
			slave("slave2:8080", Outcome{State: Success, Seconds: 0.2})),
		"dev/x  empty  unchanged  0.00s\n": make(200, Outcome{State: Success}),
		`dev/x (https://git/x.git)
└─ can't fetch
   └─ fatal: unable to access 'https://git/x.git/': no route
`: make(500, bad),
		`dev/x (https://git/x.git)
├─ master
│  └─ can't fetch
│     └─ fatal: unable to access 'https://git/x.git/': no route
└─ slave slave2.local
   └─ no answer within 20s
`: make(503, bad, slave("slave2.local", late)),
		`dev/x (https://git/x.git)
├─ slave b
│  └─ no answer within 20s
└─ pulled: master, a
`: make(502, ok, slave("a", ok), slave("b", late)),
		`dev/x (https://git/x.git): not finished after 1.00s, the work goes on
├─ master
│  └─ fetching
├─ slave a
│  └─ no answer yet
└─ /x/status?name=dev/x tells when it is done
`: make(202, Outcome{State: Processing, Progress: "fetching"}, slave("a", Outcome{State: Processing})),
	} {
		if got := r.String(); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
}
