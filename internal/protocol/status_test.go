package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"github.com/BurntSushi/toml"

	"github.com/reconquest/sould/internal/git/gittest"
)

// exampleSlave and exampleMaster are the examples of the issue that asked for the status.
func exampleSlave() *Status {
	return &Status{Role: "slave", Total: 1, Mirrors: []Mirror{{Name: "pool/x", State: "success", ModifyDate: 1447000000}}}
}

func exampleMaster() *Status {
	return &Status{Role: "master", Upstream: NewUpstream([]Status{
		{Address: "127.0.0.1:8081", Role: "slave"},
		{Address: "127.0.0.1:8082", Error: "…", HierarchicalError: "…"},
	})}
}

func TestStatusForms(t *testing.T) {
	up := &Status{Role: "master", Upstream: NewUpstream([]Status{{Address: "127.0.0.1:8081", Role: "slave"}})}
	below := exampleMaster()
	below.Address, below.Loading = "10.0.0.1", true
	refused := errors.New("b\nc")
	cascade := &Status{Role: "master", ID: "i", Version: "v", Upstream: NewUpstream([]Status{*below, FailedStatus(Address{name: "h"}, fmt.Errorf("a: %w", refused))})}
	for _, c := range []struct {
		doc    *Status
		format string
		want   string
	}{
		{exampleSlave(), "json", `{"role":"slave","total":1,"mirrors":[{"name":"pool/x","state":"success","modify_date":1447000000,"refs":0}]}` + "\n"},
		{exampleMaster(), "json", `{"role":"master","total":0,"upstream":{"total":2,"error":1,"error_percent":50,"failed":0,"failed_percent":0,"success":1,"success_percent":50,` +
			`"slaves":[{"address":"127.0.0.1:8081","role":"slave","total":0},{"address":"127.0.0.1:8082","total":0,"error":"…","hierarchical_error":"…"}]}}` + "\n"},
		{&Status{Role: "master", Upstream: NewUpstream([]Status{})}, "json",
			`{"role":"master","total":0,"upstream":{"total":0,"error":0,"error_percent":0,"failed":0,"failed_percent":0,"success":0,"success_percent":0,"slaves":[]}}` + "\n"},
		{exampleSlave(), "toml", `role = "slave"
total = 1

[[mirrors]]
name = "pool/x"
state = "success"
modify_date = 1447000000
refs = 0
`},
		{exampleMaster(), "toml", `role = "master"
total = 0

[upstream]
total = 2
error = 1
error_percent = 50.0
failed = 0
failed_percent = 0.0
success = 1
success_percent = 50.0

[[upstream.slaves]]
address = "127.0.0.1:8081"
role = "slave"
total = 0

[[upstream.slaves]]
address = "127.0.0.1:8082"
total = 0
error = "…"
hierarchical_error = "…"
`},
		{up, "hierarchical", `status
├─ role: master
├─ total: 0
└─ upstream
   ├─ total: 1
   ├─ success: 1 (100.00%)
   ├─ failed: 0 (0.00%)
   ├─ error: 0 (0.00%)
   └─ slaves
      └─ 127.0.0.1:8081
         ├─ role: slave
         └─ total: 0
`},
		{exampleSlave(), "hierarchical", `status
├─ role: slave
├─ total: 1
└─ mirrors
   └─ pool/x
      ├─ state: success
      ├─ modify_date: 2015-11-08 16:26:40 UTC
      └─ refs: 0
`},
		{cascade, "hierarchical", `status
├─ role: master
├─ total: 0
└─ upstream
   ├─ total: 2
   ├─ success: 1 (50.00%)
   ├─ failed: 0 (0.00%)
   ├─ error: 1 (50.00%)
   └─ slaves
      ├─ 10.0.0.1
      │  ├─ role: master
      │  ├─ total: 0
      │  ├─ loading: the storage is being read
      │  └─ upstream
      │     ├─ total: 2
      │     ├─ success: 1 (50.00%)
      │     ├─ failed: 0 (0.00%)
      │     ├─ error: 1 (50.00%)
      │     └─ slaves
      │        ├─ 127.0.0.1:8081
      │        │  ├─ role: slave
      │        │  └─ total: 0
      │        └─ 127.0.0.1:8082
      │           └─ error
      │              └─ …
      └─ h
         └─ error
            └─ a
               └─ b
                  c
`},
	} {
		got, err := render(c.doc, c.format)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %v, got\n%swant\n%s", c.format, err, got, c.want)
		}
	}
}

func TestPercent(t *testing.T) {
	for _, c := range []struct {
		n, total int
		want     float64
	}{{0, 0, 0}, {0, 3, 0}, {1, 3, 33.33}, {2, 3, 66.67}, {3, 3, 100}} {
		if got := percent(c.n, c.total); got != c.want {
			t.Errorf("percent(%d, %d) = %v", c.n, c.total, got)
		}
	}
}

func TestReadStatus(t *testing.T) {
	cascade := exampleMaster()
	cascade.Upstream.Slaves[0] = *exampleSlave()
	cascade.Upstream.Slaves[0].Address = "a"
	for _, want := range []*Status{exampleSlave(), exampleMaster(), cascade} {
		text, err := render(want, "json")
		if err != nil {
			t.Fatal(err)
		}
		got, err := ReadStatus(strings.NewReader(string(text)), nil)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v: got\n%+v\nwant\n%+v", err, got, want)
		}
		for cut := range len(text) - 2 { // a part is never taken for the whole
			if got, err := ReadStatus(strings.NewReader(string(text[:cut])), nil); err == nil {
				t.Fatalf("cut after %q: %+v", text[:cut], got)
			}
		}
	}
}

func TestReadForeignStatus(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{"role":"slave","total":0,"new":{"a":[1,{"b":null}]},"mirrors":null}`, ""}, // null is no list
		{`{"role":"slave","total":0,"new":{"a":[1,{"b":null}]}}`, `{"role":"slave","total":0}`},
		{`{"role":"slave","total":1,"mirrors":[{"name":"/a/","new":1,"state":"great","modify_date":-1,"origin":"https://u:p@h/x","revision":"--x","fingerprint":"f","refs":-3,"error":"a\u001b[1m\nb"}]}`,
			`{"role":"slave","total":1,"mirrors":[{"name":"a","state":"unknown","origin":"https://***@h/x","refs":0,"error":"a[1m; b"}]}`},
		{`{"role":"slave","total":3,"mirrors":[{"name":"../a"},{"name":"b"},{"name":"x/c"}]}`,
			`{"role":"slave","total":1,"error":"2 of its mirrors have invalid names: name \"../a\": the component \"..\" must not begin with \".\"",` +
				`"hierarchical_error":"2 of its mirrors have invalid names\n└─ name \"../a\"\n   └─ the component \"..\" must not begin with \".\"","mirrors":[{"name":"b","state":"unknown","refs":0}]}`},
		{`{"role":"master","total":0,"upstream":{"total":-7,"success":99,"slaves":[{"address":"a\nb","error":"c\u0007"}]}}`,
			`{"role":"master","total":0,"upstream":{"total":1,"error":1,"error_percent":100,"failed":0,"failed_percent":0,"success":0,"success_percent":0,"slaves":[{"address":"a; b","total":0,"error":"c"}]}}`},
		{`{"role":"slave","total":2,"mirrors":[{"name":"a"}]}`, ""},
		{`{"role":"slave","total":-1}`, ""}, {`{"role":"slave","total":"1"}`, ""}, {`{"role":"king","total":1}`, ""},
		{`{"role":"slave","total":0}{}`, ""}, {`{}`, ""}, {`[]`, ""}, {`"slave"`, ""}, {`null`, ""}, {``, ""}, {"<html>", ""}, {`{"role":"slave","mirrors":{}}`, ""},
		{strings.Repeat(`{"role":"master","upstream":{"slaves":[`, 100), ""},
		{`{"role":"slave","x":` + strings.Repeat("[", 2000000), ""},
		{`{"role":"slave","x":"` + strings.Repeat("x", 2000000), ""},
	} {
		doc, err := ReadStatus(strings.NewReader(c.text), nil)
		if c.want == "" {
			if err == nil {
				t.Errorf("%.100s: %+v", c.text, doc)
			}
			continue
		}
		if err != nil {
			t.Errorf("%.100s: %v", c.text, err)
			continue
		}
		if got, err := json.Marshal(doc); err != nil || string(got) != c.want {
			t.Errorf("%v, got\n%s\nwant\n%s", err, got, c.want)
		}
	}
}

// endless repeats a text.
type endless struct {
	text string
	at   int
}

func (e *endless) Read(p []byte) (n int, err error) {
	for n < len(p) {
		m := copy(p[n:], e.text[e.at:])
		n, e.at = n+m, (e.at+m)%len(e.text)
	}
	return n, nil
}

func TestReadEndlessStatus(t *testing.T) {
	for text, want := range map[string]string{
		`{"name":"m"},`: "tells more than fits",
		`{},`:           "it has more than",
		" ":             "a part of it has more than",
		`[1],`:          "cannot unmarshal array",
	} {
		r := newForeignReader(io.MultiReader(strings.NewReader(`{"role":"slave","mirrors":[`), &endless{text: text}), 3*maxForeignPart, nil)
		r.size = maxForeignSize - 1<<20
		if _, err := r.document(0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	m := &meter{from: &endless{text: "x"}, limit: 3*maxForeignPart + 5}
	buf, total := make([]byte, 2*maxForeignPart), 0
	for {
		m.part = 0
		n, err := m.Read(buf)
		total += n
		if n > maxForeignPart {
			t.Errorf("a part of %d bytes", n)
		}
		if err != nil {
			break
		}
	}
	if total != 3*maxForeignPart+5 {
		t.Errorf("%d bytes were read", total)
	}
}

func BenchmarkStatus(b *testing.B) {
	d := &Status{Role: "slave", Total: 10_000}
	for i := range d.Total {
		d.Mirrors = append(d.Mirrors, Mirror{
			Name: fmt.Sprintf("pool/mirror-%05d", i), State: Success, ModifyDate: 1447000000, Origin: "https://git.in.local/pool/mirror.git",
			Branch: "refs/heads/main", Revision: gittest.ID("8"), Fingerprint: strings.Repeat("f", 64), Refs: 10, From: FromOrigin,
		})
	}
	for _, format := range []string{"json", "toml", "hierarchical"} {
		b.Run(format, func(b *testing.B) {
			for b.Loop() {
				if _, err := render(d, format); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	text, err := render(d, "json")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			if _, err := ReadStatus(strings.NewReader(string(text)), nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestStatusForPeopleHidesNothing: the origin chooses a branch's name, and git accepts names that a
// terminal takes for commands.
func TestStatusForPeopleHidesNothing(t *testing.T) {
	const evil = "a\u009b2J\u202eb\u200bc"
	d := Status{Mirrors: []Mirror{{Name: "m", Origin: evil, Branch: "refs/heads/" + evil, Kept: []Retained{{Ref: evil}}}}}
	if shown := d.String(); strings.ContainsFunc(shown, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
		t.Errorf("shown is %q", shown)
	}
	r := Report{Name: "m", Origin: evil, Status: 500, Outcome: Outcome{State: Failed, Error: "x"}}
	if shown := r.String(); strings.ContainsFunc(shown, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
		t.Errorf("a report shows %q", shown)
	}
}

// render renders a document in one of its forms.
func render(d *Status, format string) ([]byte, error) {
	switch format {
	case "json":
		text, err := json.Marshal(d)
		return append(text, '\n'), err
	case "toml":
		var b bytes.Buffer
		encoder := toml.NewEncoder(&b)
		encoder.Indent = ""
		err := encoder.Encode(d)
		return b.Bytes(), err
	default:
		return []byte(d.String()), nil
	}
}

// TestUpstreamCountsWhatItShows: a slave that can be asked is no success if its mirrors failed.
func TestUpstreamCountsWhatItShows(t *testing.T) {
	slave := func(states ...State) (s Status) {
		for _, state := range states {
			s.Mirrors = append(s.Mirrors, Mirror{State: state})
		}
		return s
	}
	u := NewUpstream([]Status{slave(), slave(Success, Processing, Unknown), slave(Success, Failed), slave(Failed), {Error: "down"}})
	if u.Total != 5 || u.Success != 2 || u.Failed != 2 || u.Error != 1 || u.FailedPercent != 40 || u.SuccessPercent != 40 || u.ErrorPercent != 20 {
		t.Errorf("%+v", u)
	}
}
