package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/git/gittest"
	"github.com/reconquest/sould/internal/origin"
)

func TestStatusOf(t *testing.T) {
	name := named("pool/x")
	from, err := origin.Parse("https://jack:secret@git.in.local/x.git", false)
	if err != nil {
		t.Fatal(err)
	}
	listing := git.Listing{Head: git.Head{Ref: "refs/heads/main", ID: gittest.ID("8")}, Refs: make([]git.Ref, 3)}
	pulled := time.Unix(1447000000, 0)
	fine := &Snapshot{Listing: listing, Fingerprint: "f", Outcome: OutcomeSuccess, Pulled: pulled, Origin: from}
	broken := &Snapshot{Listing: listing, Fingerprint: "f", Outcome: OutcomeFailed, Pulled: pulled, Origin: from, From: "slave1:80",
		LastError: "can't fetch:\n fatal: unable to access 'https://jack:secret@git.in.local/x.git/'\a"}
	known := mirrorStatus{
		Name: "pool/x", State: "success", ModifyDate: 1447000000, Origin: "https://git.in.local/x.git",
		Branch: "refs/heads/main", Revision: gittest.ID("8"), Fingerprint: "f", Refs: 3, From: "origin",
	}
	for _, c := range []struct {
		s          *Snapshot
		processing bool
		unreadable string
		want       func(m *mirrorStatus)
	}{
		{fine, false, "", func(*mirrorStatus) {}},
		{fine, true, "", func(m *mirrorStatus) { m.State = "processing" }},
		{broken, false, "", func(m *mirrorStatus) {
			m.State, m.From = "failed", "slave1:80"
			m.Error = "can't fetch: fatal: unable to access 'https://***@git.in.local/x.git/'"
		}},
		{&Snapshot{Outcome: OutcomeUnknown}, false, "", func(m *mirrorStatus) { *m = mirrorStatus{Name: "pool/x", State: "unknown"} }},
		{nil, false, "", func(m *mirrorStatus) { *m = mirrorStatus{Name: "pool/x", State: "unknown"} }},
		{nil, false, "no\nHEAD", func(m *mirrorStatus) { *m = mirrorStatus{Name: "pool/x", State: "failed", Error: "no HEAD"} }},
		{nil, true, "", func(m *mirrorStatus) { *m = mirrorStatus{Name: "pool/x", State: "processing"} }},
	} {
		want := known
		c.want(&want)
		if got := statusOf(name, c.s, c.processing, c.unreadable); !reflect.DeepEqual(got, want) {
			t.Errorf("got\n%+v\nwant\n%+v", got, want)
		}
	}
}

// exampleSlave and exampleMaster are those of the issue that asked for the status.
func exampleSlave() *statusDocument {
	return &statusDocument{Role: "slave", Total: 1, Mirrors: []mirrorStatus{{Name: "pool/x", State: "success", ModifyDate: 1447000000}}}
}

func exampleMaster() *statusDocument {
	return &statusDocument{Role: "master", Upstream: newUpstream([]statusDocument{
		{Address: "127.0.0.1:8081", Role: "slave"},
		{Address: "127.0.0.1:8082", Error: "…", HierarchicalError: "…"},
	})}
}

func TestStatusForms(t *testing.T) {
	up := &statusDocument{Role: "master", Upstream: newUpstream([]statusDocument{{Address: "127.0.0.1:8081", Role: "slave"}})}
	below := exampleMaster()
	below.Address, below.Loading = "10.0.0.1", true
	refused := errors.New("b\nc")
	cascade := &statusDocument{Role: "master", ID: "i", Version: "v", Upstream: newUpstream([]statusDocument{*below, failedStatus(Address{name: "h"}, fmt.Errorf("a: %w", refused))})}
	for _, c := range []struct {
		doc    *statusDocument
		format string
		want   string
	}{
		{exampleSlave(), "json", `{"role":"slave","total":1,"mirrors":[{"name":"pool/x","state":"success","modify_date":1447000000,"refs":0}]}` + "\n"},
		{exampleMaster(), "json", `{"role":"master","total":0,"upstream":{"total":2,"error":1,"error_percent":50,"success":1,"success_percent":50,` +
			`"slaves":[{"address":"127.0.0.1:8081","role":"slave","total":0},{"address":"127.0.0.1:8082","total":0,"error":"…","hierarchical_error":"…"}]}}` + "\n"},
		{&statusDocument{Role: "master", Upstream: newUpstream([]statusDocument{})}, "json",
			`{"role":"master","total":0,"upstream":{"total":0,"error":0,"error_percent":0,"success":0,"success_percent":0,"slaves":[]}}` + "\n"},
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
   ├─ error: 1 (50.00%)
   └─ slaves
      ├─ 10.0.0.1
      │  ├─ role: master
      │  ├─ total: 0
      │  ├─ loading: the storage is being read
      │  └─ upstream
      │     ├─ total: 2
      │     ├─ success: 1 (50.00%)
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
		got, err := c.doc.render(c.format)
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

func TestParseStatus(t *testing.T) {
	const timeout = time.Minute
	all := statusQuery{format: "hierarchical", upstream: true, wait: timeout}
	with := func(change func(q *statusQuery)) statusQuery { q := all; change(&q); return q }
	for _, c := range []struct {
		query string
		json  bool
		want  statusQuery
	}{
		{"", false, all},
		{"", true, with(func(q *statusQuery) { q.format = "json" })},
		{"format=toml", true, with(func(q *statusQuery) { q.format = "toml" })},
		{"format=hierarchical&upstream=1", false, all},
		{"name=/a/b/&upstream=0", false, with(func(q *statusQuery) { q.name, q.upstream = named("a/b"), false })},
		{"wait=500", false, with(func(q *statusQuery) { q.wait = 500 * time.Millisecond })},
		{"wait=2m", false, all},
	} {
		if got, err := parseStatus(c.query, c.json, timeout); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", c.query, got, err)
		}
	}
	for _, query := range []string{
		"format=xml", "format=", "format=json&format=json", "nmae=x", "name=", "name=../x", "name=x/y", "upstream=yes", "wait=-1", "wait=soon", "%zz", "a;b",
	} {
		if q, err := parseStatus(query, false, timeout); err == nil {
			t.Errorf("%s: %+v", query, q)
		}
	}
}

func TestReadStatus(t *testing.T) {
	cascade := exampleMaster()
	cascade.Upstream.Slaves[0] = *exampleSlave()
	cascade.Upstream.Slaves[0].Address = "a"
	for _, want := range []*statusDocument{exampleSlave(), exampleMaster(), cascade} {
		text, err := want.render("json")
		if err != nil {
			t.Fatal(err)
		}
		got, err := readStatus(strings.NewReader(string(text)), nil)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v: got\n%+v\nwant\n%+v", err, got, want)
		}
		for cut := range len(text) - 2 { // it is nowhere taken for whole
			if got, err := readStatus(strings.NewReader(string(text[:cut])), nil); err == nil {
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
			`{"role":"slave","total":1,"mirrors":[{"name":"a","state":"unknown","origin":"https://***@h/x","refs":0,"error":"a[1m b"}]}`},
		{`{"role":"slave","total":3,"mirrors":[{"name":"../a"},{"name":"b"},{"name":"x/c"}]}`,
			`{"role":"slave","total":1,"error":"2 of the mirrors that it lists are none: name \"../a\": the component \"..\" begins with \".\"",` +
				`"hierarchical_error":"2 of the mirrors that it lists are none\n└─ name \"../a\"\n   └─ the component \"..\" begins with \".\"","mirrors":[{"name":"b","state":"unknown","refs":0}]}`},
		{`{"role":"master","total":0,"upstream":{"total":-7,"success":99,"slaves":[{"address":"a\nb","error":"c\u0007"}]}}`,
			`{"role":"master","total":0,"upstream":{"total":1,"error":1,"error_percent":100,"success":0,"success_percent":0,"slaves":[{"address":"a b","total":0,"error":"c"}]}}`},
		{`{"role":"slave","total":2,"mirrors":[{"name":"a"}]}`, ""},
		{`{"role":"slave","total":-1}`, ""}, {`{"role":"slave","total":"1"}`, ""}, {`{"role":"king","total":1}`, ""},
		{`{"role":"slave","total":0}{}`, ""}, {`{}`, ""}, {`[]`, ""}, {`"slave"`, ""}, {`null`, ""}, {``, ""}, {"<html>", ""}, {`{"role":"slave","mirrors":{}}`, ""},
		{strings.Repeat(`{"role":"master","upstream":{"slaves":[`, 100), ""},
		{`{"role":"slave","x":` + strings.Repeat("[", 2000000), ""},
		{`{"role":"slave","x":"` + strings.Repeat("x", 2000000), ""},
	} {
		doc, err := readStatus(strings.NewReader(c.text), nil)
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
		`{},`:  "lists more than",
		" ":    "a part of it has more than",
		`[1],`: "cannot unmarshal array",
	} {
		in := &meter{from: io.MultiReader(strings.NewReader(`{"role":"slave","mirrors":[`), &endless{text: text}), left: maxStatus}
		r := statusReader{in: in, json: json.NewDecoder(in), mirrors: maxStatusMirrors - 1000}
		if _, err := r.document(0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	m := &meter{from: &endless{text: "x"}, left: 3*maxStatusPart + 5}
	buf, total := make([]byte, 2*maxStatusPart), 0
	for {
		m.part = 0
		n, err := m.Read(buf)
		total += n
		if n > maxStatusPart {
			t.Errorf("a part of %d bytes", n)
		}
		if err != nil {
			break
		}
	}
	if total != 3*maxStatusPart+5 {
		t.Errorf("%d bytes were read", total)
	}
}

func BenchmarkStatus(b *testing.B) {
	d := &statusDocument{Role: "slave", Total: 10_000}
	for i := range d.Total {
		d.Mirrors = append(d.Mirrors, mirrorStatus{
			Name: fmt.Sprintf("pool/mirror-%05d", i), State: stateSuccess, ModifyDate: 1447000000, Origin: "https://git.in.local/pool/mirror.git",
			Branch: "refs/heads/main", Revision: gittest.ID("8"), Fingerprint: strings.Repeat("f", 64), Refs: 10, From: fromOrigin,
		})
	}
	for _, format := range []string{"json", "toml", "hierarchical"} {
		b.Run(format, func(b *testing.B) {
			for b.Loop() {
				if _, err := d.render(format); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	text, err := d.render("json")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			if _, err := readStatus(strings.NewReader(string(text)), nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestStatusForPeopleHidesNothing: a branch's name is the origin's choice, and git takes
// what a terminal takes for a command.
func TestStatusForPeopleHidesNothing(t *testing.T) {
	const evil = "a\u009b2J\u202eb\u200bc"
	d := statusDocument{Mirrors: []mirrorStatus{{Name: "m", Origin: evil, Branch: "refs/heads/" + evil, Kept: []keptStatus{{Ref: evil}}}}}
	if shown := d.String(); strings.ContainsFunc(shown, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
		t.Errorf("shown is %q", shown)
	}
	r := report{Name: "m", Origin: evil, Status: 500, outcome: outcome{State: stateFailed, Error: "x"}}
	if shown := r.String(); strings.ContainsFunc(shown, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
		t.Errorf("a report shows %q", shown)
	}
}
