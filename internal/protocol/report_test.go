package protocol

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
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
		"master  was not here    0.00s\na       removed         0.00s\n": make(200, Outcome{State: Success, Absent: true}, slave("a", Outcome{State: Success, Removed: true})),
		"dev/x (https://git/x.git)\n├─ slave c\n│  └─ no answer within 20s\n├─ removed: b\n└─ was not there: master, a\n": make(502, Outcome{State: Success, Absent: true},
			slave("a", Outcome{State: Success, Absent: true}), slave("b", Outcome{State: Success, Removed: true}), slave("c", late)),
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

// TestReportGivesEachReasonOnce: with the names of those that give it, however deep below.
func TestReportGivesEachReasonOnce(t *testing.T) {
	list := func(after int) error {
		return fmt.Errorf("can't list refs: %w", &git.Error{Stderr: fmt.Sprintf("fatal: unable to access 'https://git/x.git/': Failed to connect after %d ms", after)})
	}
	failed := func(address string, err error, slaves ...Outcome) Outcome {
		o := Failure(err)
		o.Address, o.ID, o.Slaves = address, address, slaves
		return o
	}
	none, taken := errors.New("no peer can reach the origin either"), errors.New("what peer c had pulled is here now")
	r := &Report{Name: "m", Status: 503, Outcome: failed("", errors.Join(list(0), taken),
		failed("a", errors.Join(list(1), none, taken), failed("d", list(3)), failed("e", errors.New("no answer within 20s"))),
		failed("b", errors.Join(list(2), none)), Outcome{Address: "c", ID: "c", State: Success})}
	want := `m
├─ master, slave a, slave d of a, slave b
│  └─ can't list refs
│     └─ fatal: unable to access 'https://git/x.git/': Failed to connect after 0 ms
├─ master, slave a
│  └─ what peer c had pulled is here now
├─ slave a, slave b
│  └─ no peer can reach the origin either
├─ slave e of a
│  └─ no answer within 20s
└─ pulled: c
`
	if got := r.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	r = &Report{Name: "m", Status: 500, Outcome: failed("", errors.Join(list(0), none))}
	want = "m\n├─ can't list refs\n│  └─ fatal: unable to access 'https://git/x.git/': Failed to connect after 0 ms\n└─ no peer can reach the origin either\n"
	if got := r.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	r = &Report{Name: "m", Status: 502, Outcome: Outcome{State: Success}}
	for i := range maxServersNamed + 2 {
		r.Slaves = append(r.Slaves, failed(fmt.Sprint("s", i), list(i)))
	}
	if got := r.String(); strings.Count(got, "\n") != 5 || !strings.Contains(got, "slave s19, and 2 more\n") {
		t.Errorf("got\n%s", got)
	}
}

// TestResolve: the outcomes of servers that had received a request before.
func TestResolve(t *testing.T) {
	one := func(id string, state State, slaves ...Outcome) Outcome {
		return Outcome{ID: id, Address: id, State: state, Slaves: slaves}
	}
	elsewhere := func(id string) Outcome { return one(id, Elsewhere) }
	for what, c := range map[string]struct {
		root Outcome
		want string // the states of its slaves
	}{
		"all have pulled":                 {one("a", Success, one("b", Success, elsewhere("a"), one("c", Success, elsewhere("a"))), elsewhere("c")), "success success"},
		"one has failed":                  {one("a", Success, one("b", Failed, one("c", Failed)), elsewhere("c")), "failed failed"},
		"this one has failed":             {one("a", Failed, one("b", Success, elsewhere("a")), one("c", Success, elsewhere("b"))), "success success"},
		"nobody tells of it":              {one("a", Success, elsewhere("b"), one("c", Success)), "failed success"},
		"nobody tells of one below":       {one("a", Success, one("b", Success, elsewhere("d")), one("c", Success)), "failed success"},
		"it has no id":                    {one("a", Success, one("", Success), elsewhere("")), "success failed"},
		"it is only said to be elsewhere": {one("a", Success, one("b", Success, elsewhere("c")), elsewhere("c")), "failed failed"},
		"two addresses of one":            {one("a", Success, one("b", Success), one("b", Failed), one("c", Success), elsewhere("b")), "success failed success failed"},
	} {
		c.root.Resolve()
		var got []string
		for _, slave := range c.root.Slaves {
			got = append(got, string(slave.State))
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%s: %s, want %s", what, got, c.want)
		}
	}
}

// TestReportShowsEachServerOnce: however the servers point at each other.
func TestReportShowsEachServerOnce(t *testing.T) {
	fine := func(id string, slaves ...Outcome) Outcome {
		return Outcome{ID: id, Address: id, State: Success, Revision: gittest.ID("8"), Slaves: slaves}
	}
	r := &Report{Name: "m", Status: 200, Outcome: fine("a", fine("b", fine("c"), fine("d", fine("e"), Outcome{ID: "a", State: Elsewhere})), fine("c", fine("d")))}
	want := "master  888888888888  unchanged  0.00s\nb       888888888888  unchanged  0.00s\n" +
		"  d     888888888888  unchanged  0.00s\n    e   888888888888  unchanged  0.00s\nc       888888888888  unchanged  0.00s\n"
	if got := r.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	r.Status, r.Slaves[0].State, r.Slaves[0].HierarchicalError = 502, Failed, "why\n└─ for this"
	r.Slaves[0].Slaves[1].State, r.Slaves[0].Slaves[1].Error, r.Slaves[0].Cut = Failed, "d is down", "more is left out"
	want = "m\n├─ slave b\n│  ├─ why\n│  │  └─ for this\n│  └─ more is left out\n├─ slave d of b\n│  └─ d is down\n└─ pulled: master, c\n"
	if got := r.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// TestReadAnswerBounds: parts that exceed the bounds are left out, and the outcome says so.
func TestReadAnswerBounds(t *testing.T) {
	for _, c := range []struct {
		status     int
		text, want string
		servers    int
	}{
		{200, `{"state":"success","slaves":[{"state":"success"}]}`, "", 1},
		{200, strings.Repeat(`{"state":"success","slaves":[`, 17) + "{}" + strings.Repeat("]}", 17), "more than 16 servers", 0},
		{200, `{"state":"success","slaves":[` + strings.Repeat("{},", 2000) + `{}]}`, "more than 1000 servers", 999},
		{502, `{"state":"success","slaves":[` + strings.Repeat("{},", 2000) + `{}]}`, "more than 1000 servers", 999},
		{200, `{"state":"success","x":"` + strings.Repeat("x", 2<<20) + `"}`, "bytes", 0},
	} {
		text := []byte(c.text)
		o, err := ReadAnswer(&http.Response{StatusCode: c.status, Status: "s", Header: http.Header{"Content-Type": {"application/json"}}}, text[:min(len(text), MaxAnswer+1)], nil)
		if err != nil || !strings.Contains(o.Cut, c.want) || (o.Cut == "") != (c.want == "") || len(o.Slaves) != c.servers ||
			(o.State == Success) != (c.status == 200) || o.SomePulled != (c.status != 200) {
			t.Errorf("%.60s: %v, %q, %d servers, %s", c.text, err, o.Cut, len(o.Slaves), o.State)
		}
	}
}
