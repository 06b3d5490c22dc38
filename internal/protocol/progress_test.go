package protocol

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
)

func TestPause(t *testing.T) {
	for worked, want := range map[time.Duration]time.Duration{
		0: time.Second, 20 * time.Second: time.Second, time.Minute: 3 * time.Second, time.Hour: 10 * time.Second,
	} {
		if got := Pause(worked); got != want {
			t.Errorf("after %s: %s", worked, got)
		}
	}
}

func line(address, words string) Line {
	return Line{Address: address, State: Processing, Progress: Progress{Words: words}}
}

// TestFeed: what has changed is told, once, and something at the latest after ten seconds.
func TestFeed(t *testing.T) {
	var feed Feed
	for _, step := range []struct {
		second int
		now    []Line
		want   string
	}{
		{1, []Line{line("", "a"), line("s", "b")}, "m: a, s: b"},
		{2, []Line{line("", "a"), line("s", "b")}, ""},
		{3, []Line{line("", "a"), line("s", "c"), line("s/t", "d")}, "s: c, s/t: d"},
		{12, []Line{line("", "a"), line("s", "c"), line("s/t", "d")}, ""},
		{13, []Line{line("", "a"), line("s", "c"), line("s/t", "d")}, "m: a"},
		{14, []Line{line("", "a")}, ""},
		{23, []Line{line("", "a")}, "m: a"},
		{24, []Line{{State: Success, Progress: Progress{Words: "done"}}, line("s", "c")}, "m: done"},
		{34, []Line{{State: Success, Progress: Progress{Words: "done"}}, line("s", "c")}, "s: c"},
	} {
		var got []string
		for _, line := range feed.Next(time.Duration(step.second)*time.Second, step.now) {
			got = append(got, line.Text("m"))
		}
		if got := strings.Join(got, ", "); got != step.want {
			t.Errorf("second %d: %q, want %q", step.second, got, step.want)
		}
	}
	told := 0
	for second := 40; second < 40+2*mostLines; second++ {
		told += len(feed.Next(time.Duration(second)*time.Second, []Line{line("", fmt.Sprint(second))}))
	}
	if told < mostLines || told > mostLines+mostLines/10+10 {
		t.Errorf("%d lines are told", told)
	}
}

func TestLines(t *testing.T) {
	slave, err := ParseAddress("https://a:1")
	if err != nil {
		t.Fatal(err)
	}
	var l Lines
	l.Set(slave, line("", "x"))
	l.Set(slave, line("c:3", "y"))
	l.Set(slave, line("", "z"))
	o := Outcome{State: Processing, Slaves: []Outcome{{Address: slave.String(), State: Processing}, {Address: "b:2", State: Processing}}}
	show := func() string {
		var all []string
		for _, line := range l.Of(o, Progress{Words: "own"}) {
			all = append(all, string(line.State[:1])+" "+line.Text("m"))
		}
		return strings.Join(all, ", ")
	}
	if got, want := show(), "p m: own, p https://a:1: z, p b:2: asked, p https://a:1/c:3: y"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	o.State, o.Error = Failed, "no"
	o.Slaves[0].State, o.Slaves[1].State = Success, Elsewhere
	if got, want := show(), "f m: failed: no, s https://a:1: done, e b:2: "+elsewhereWords; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for i := range 2 * maxForeignServers {
		l.Set(slave, line(fmt.Sprint(i), "x"))
	}
	if len(l.all) != maxForeignServers {
		t.Errorf("%d lines are kept", len(l.all))
	}
}

// FuzzReadStream: whatever a slave sends as lines, what is told of it is bounded and fit to be shown,
// the next server reads the same, and there is an outcome or an error.
func FuzzReadStream(f *testing.F) {
	const secret = "the-token-of-the-cluster"
	for _, s := range []string{
		`{"progress":"receiving objects 34 % (1 of 3)","state":"processing","percent":34,"done":1,"total":3,"bytes":5,"rate":6,"since":7,"from":"the origin"}` + "\n" + `{"status":200,"state":"success"}`,
		`{"address":"a\nstatus: 200","progress":"x\u001b[2J the-token-of-the-cluster","percent":-1,"since":-99999999999999,"state":"evil"}`, "\n\n{}\n[]\nnull\n1",
		`{"status":99}`, `{"status":502,"state":"failed","error":"a"}` + "\n" + `{"progress":"late"}`, `{"status":202,"progress":"x"}`, `{"status":"200"}`, strings.Repeat("x", 100), `{"progress":"` + strings.Repeat("ü", 500) + `"}`, "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		answer := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {StreamType}}, Body: io.NopCloser(strings.NewReader(text))}
		o, err := ReadStream(answer, []string{secret}, func(line Line) {
			for _, words := range []string{line.Address, line.Words, line.From, line.Text("m")} {
				if strings.ContainsFunc(words, unicode.IsControl) || strings.Contains(words, secret) || len(words) > maxLabel+maxLine+10 {
					t.Errorf("%q tells %q", text, words)
				}
			}
			if line.Percent != nil && (*line.Percent < 0 || *line.Percent > 100) || line.Done < 0 || line.Total < 0 || line.Bytes < 0 || line.Rate < 0 || line.Since < 0 {
				t.Errorf("%q tells %+v", text, line)
			}
			encoded, err := json.Marshal(line)
			if again, status := parseLine(encoded, []string{secret}); err != nil || status != 0 || !reflect.DeepEqual(again, line) {
				t.Errorf("%+v is passed on as %+v, %v", line, again, err)
			}
		})
		if err == nil {
			checkOutcome(t, &o, 0)
			if o.State != Success && o.State != Failed && o.State != Elsewhere {
				t.Errorf("%q became %+v", text, o)
			}
		}
	})
}
