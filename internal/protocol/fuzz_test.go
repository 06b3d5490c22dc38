package protocol

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/BurntSushi/toml"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/storage"
)

// FuzzParsePull: an accepted request is fit for git, and a slave that it is passed on to reads the
// same.
func FuzzParsePull(f *testing.F) {
	for _, s := range []string{
		"name=a/b&origin=https://u:p%40@h:1/x", "name=m&origin=git@h:x&wait=90s&accept=deletions&move=/old",
		"name=m&origin=file:///x%20y&wait=1500", "name=m&name=n&origin=x", "name=m&origin=ext::sh+-c+id", "name=..%2fm&origin=ssh://h/x", "%zz", "",
		"name=m&origin=https://h/x&progress=1", "name=m&origin=https://h/x&progress=yes", "name=m&origin=http://[::1]:80/x&move=http://h/%2e%2e", "name=m&origin=git@[::1]:/x&wait=-1", "name=m&origin=https://u@h/x&wait=9e99h",
	} {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, body string, allowLocal bool) {
		form, err := url.ParseQuery(body)
		if err != nil {
			return
		}
		req, err := ParsePull(form, allowLocal)
		if err != nil {
			return
		}
		if !req.Origin.Known() || req.Origin.IsLocal() && !allowLocal || strings.HasPrefix(req.Origin.String(), "-") || req.Wait < NoWait {
			t.Errorf("%q became %+v", body, req)
		}
		req.Wait = time.Minute
		again, err := ParsePull(req.Form(), allowLocal)
		if err != nil || again.Wait != time.Minute || again.Name != req.Name || again.Accept != req.Accept || again.Progress != req.Progress ||
			again.Origin != req.Origin || !again.Move.Same(req.Move) {
			t.Errorf("%q passed on: %+v became %+v, %v", body, req, again, err)
		}
	})
}

// FuzzReadStatus: another server's status is either refused or fit to be shown.
func FuzzReadStatus(f *testing.F) {
	const secret = "the-token-of-the-cluster"
	id, digest := strings.Repeat("a", 40), strings.Repeat("b", 64)
	for _, s := range []string{
		`{"role":"slave","total":1,"id":"x","mirrors":[{"name":"a/b","state":"success","origin":"https://u:p@h/x","modify_date":1,"revision":"` + id + `","fingerprint":"` + digest + `","refs":2}]}`,
		`{"role":"master","total":0,"mirrors":[],"upstream":{"total":9,"slaves":[{"role":"slave","address":"h:1","total":0,"error":"\u001b[2Jx\ny"}]}}`,
		`{"role":"slave","total":2,"mirrors":[{"name":"../x"},{"name":"m","state":"evil","error":"` + secret + `"}]}`,
		`{"role":"slave","total":1,"mirrors":[{"name":"m","state":"processing","pull":{"progress":"receiving\u001b objects ` + secret + `","from":"the origin","since":-1,"percent":999,"done":-1}}]}`,
		`{"role":"slave","total":-1}`, `{"role":"slave","total":1e99}`, `{"role":"slave"}{}`, `{"role":"slave","role":"master"}`, `[]`, `null`, ``, `{"mirrors":null,"role":"slave"}`,
		`{"role":"slave","hierarchical_error":"a\n├─ b\n` + secret + `"}`, strings.Repeat(`{"role":"master","upstream":{"slaves":[`, 40), `{"role":"sl\ud800ave"}`,
		`{"role":"slave","total":2,"mirrors":[{"name":"../the-token-of-the-cluster"},{"name":"the-token-of-the-cluster/x"}]}`,
		`{"role":"slave","error":"the-token\u0001-of-the-cluster"}`, `{"role":"slave","hierarchical_error":"the-token-of-\u200bthe-cluster"}`,
		`{"role":"slave","total":1,"mirrors":[{"name":"m","refs":-1,"modify_date":-9,"kept":[{"ref":"refs/heads/x","commit":"` + id + `","date":"2026-01-02T03:04:05Z"}]}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		doc, err := ReadStatus(bytes.NewReader(text), []string{secret})
		if err != nil {
			return
		}
		checkDocument(t, doc)
		for _, format := range []string{"hierarchical", "json", "toml"} {
			shown, err := render(doc, format)
			if err != nil {
				t.Fatalf("%q cannot be shown as %s: %v", text, format, err)
			}
			if bytes.Contains(shown, []byte(secret)) {
				t.Errorf("%q shows a secret as %s: %s", text, format, shown)
			}
			if bytes.ContainsFunc(shown, func(r rune) bool { return unicode.IsControl(r) && r != '\n' }) {
				t.Errorf("%q shows a control character as %s: %q", text, format, shown)
			}
			switch format {
			case "json":
				again, err := ReadStatus(bytes.NewReader(shown), []string{secret})
				if err != nil || again.Total != doc.Total || len(again.Mirrors) != len(doc.Mirrors) {
					t.Errorf("%q is shown as %s, which reads as %+v, %v", text, shown, again, err)
				}
			case "toml":
				var any map[string]any
				if _, err := toml.Decode(string(shown), &any); err != nil {
					t.Errorf("%q is shown as %s: %v", text, shown, err)
				}
			}
		}
	})
}

func checkDocument(t *testing.T, doc *Status) {
	for _, m := range doc.Mirrors {
		if name, err := storage.ParseName(m.Name); err != nil || name.String() != m.Name {
			t.Errorf("there is a mirror %q: %v", m.Name, err)
		}
		if m.Revision != "" && !git.IsID(m.Revision) || m.Fingerprint != "" && !refs.IsFingerprint(string(m.Fingerprint)) || m.Refs < 0 || m.ModifyDate < 0 {
			t.Errorf("there is a mirror %+v", m)
		}
		if m.Pull == nil {
			m.Pull = &Progress{}
		}
		for _, line := range []string{m.Pull.Words, m.Pull.From, m.Origin, m.Branch, m.From, m.Error, string(m.State)} {
			if strings.ContainsFunc(line, unicode.IsControl) {
				t.Errorf("there is a mirror %+v", m)
			}
		}
	}
	if doc.Upstream != nil {
		for i := range doc.Upstream.Slaves {
			checkDocument(t, &doc.Upstream.Slaves[i])
		}
	}
}

// FuzzReadAnswer: whatever a server answers, the outcome is within the bounds and fit to be shown,
// and the next server reads the same as this one.
func FuzzReadAnswer(f *testing.F) {
	const secret = "the-token-of-the-cluster"
	id := strings.Repeat("a", 40)
	for _, s := range []string{
		`{"name":"m","status":200,"id":"x","state":"success","branch":"refs/heads/main","revision":"` + id + `","refs_changed":1,"seconds":0.1}`,
		`{"status":502,"state":"success","slaves":[{"address":"h:1","id":"y","state":"failed","error":"a","hierarchical_error":"a\n└─ ` + secret + `"},{"address":"h:2","state":"elsewhere","id":"z"}]}`,
		`{"status":208,"id":"x","state":"elsewhere"}`, `{"status":202,"state":"processing","progress":"fetching\u001b[2J"}`,
		`{"state":"failed","slaves":null}`, `{"state":"evil","seconds":-1,"refs_changed":-1}`, `{"state":"success","seconds":1e300}`, `{"state":"success"}{}`,
		strings.Repeat(`{"state":"success","slaves":[`, 40), `{"state":"success","slaves":[` + strings.Repeat(`{},`, 1100) + `{}]}`, "<html>", "", "null", "[]",
		`{"state":"failed","error":"the-token\u0001-of-the-cluster","cut":"x\ny"}`,
	} {
		for _, status := range []int{200, 202, 208, 307, 500} {
			f.Add([]byte(s), status)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, status int) {
		answer := &http.Response{StatusCode: status, Status: "status " + secret, Header: http.Header{"Content-Type": {"application/json"}}}
		o, err := ReadAnswer(answer, text, []string{secret})
		if err != nil {
			return
		}
		servers := checkOutcome(t, &o, 0)
		if o.State == Success != (status == 200) || servers > maxForeignServers || o.Size() > maxForeignSize {
			t.Errorf("%q with %d became %+v", text, status, o)
		}
		for _, status := range []int{200, 202, 502} {
			report := &Report{Name: "m", Status: status, Outcome: Outcome{State: Success, Slaves: []Outcome{o}}}
			shown := report.String()
			if strings.Contains(shown, secret) || strings.ContainsFunc(shown, func(r rune) bool { return unicode.IsControl(r) && r != '\n' }) {
				t.Errorf("%q is shown as %q", text, shown)
			}
			if most := 2000 + servers*1000 + 8*o.Size(); len(shown) > most {
				t.Errorf("%d bytes are shown as %d, of %d servers", len(text), len(shown), servers)
			}
		}
		report := &Report{Status: status, Outcome: o}
		encoded, err := json.Marshal(report)
		if err != nil {
			t.Fatal(err)
		}
		if again, isReport := readReport(answer.Header, encoded, []string{secret}); len(encoded) < MaxAnswer && (!isReport || !reflect.DeepEqual(clean(again), clean(o))) {
			t.Errorf("%q is passed on as %s, which reads as\n%+v, not\n%+v", text, encoded, again, o)
		}
	})
}

// clean returns an outcome without the fields that this server sets itself.
func clean(o Outcome) Outcome {
	o.SomePulled, o.Cut = false, ""
	return o
}

// checkOutcome checks an outcome and those below it, and returns how many they are.
func checkOutcome(t *testing.T, o *Outcome, depth int) (servers int) {
	if depth > maxForeignDepth || o.Revision != "" && !git.IsID(o.Revision) || o.Changed < 0 || o.Seconds < 0 {
		t.Errorf("there is an outcome %+v at depth %d", o, depth)
	}
	for _, line := range []string{o.Address, o.ID, o.Branch, o.From, o.Progress, o.Error, o.Cut} {
		if strings.ContainsFunc(line, unicode.IsControl) || len(line) > errtext.MaxWords {
			t.Errorf("there is an outcome %+v", o)
		}
	}
	servers = 1
	for i := range o.Slaves {
		servers += checkOutcome(t, &o.Slaves[i], depth+1)
	}
	return servers
}

// FuzzTrace: the next server reads the trace as this one.
func FuzzTrace(f *testing.F) {
	for _, s := range []string{"", "a", "a,b", " a , b ,", ",,,", strings.Repeat("a,", maxVia), strings.Repeat("a,", maxVia+1), strings.Repeat("x", 64), strings.Repeat("x", 65), "a\tb", "ü"} {
		f.Add(s, s)
		f.Add(s, "ABC-9_z")
	}
	f.Fuzz(func(t *testing.T, via, id string) {
		trace, err := ReadTrace(http.Header{viaHeader: {via}, requestHeader: {id}})
		if err != nil {
			return
		}
		if len(trace.Via) > maxVia || slices.ContainsFunc(trace.Via, func(id string) bool { return id == "" || len(id) > maxID || strings.Contains(id, ",") }) ||
			trace.ID == "" || len(trace.ID) > maxID || strings.ContainsFunc(trace.ID, notInID) || trace.Begins != (trace.ID != id) {
			t.Errorf("%q, %q are %+v", via, id, trace)
		}
		if trace.FromClient() {
			return
		}
		header := http.Header{}
		trace.Set(header)
		trace.Begins = false
		if again, err := ReadTrace(header); err != nil || !reflect.DeepEqual(again, trace) {
			t.Errorf("%q, %q are %+v, passed on %+v, %v", via, id, trace, again, err)
		}
	})
}
