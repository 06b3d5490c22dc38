package protocol

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/BurntSushi/toml"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/storage"
)

// FuzzParsePull: what is taken in is fit for git, and a slave that is passed the
// request on understands the same.
func FuzzParsePull(f *testing.F) {
	for _, s := range []string{
		"name=a/b&origin=https://u:p%40@h:1/x", "name=m&origin=git@h:x&wait=90s&accept=deletions&move=/old",
		"name=m&origin=file:///x%20y&wait=1500", "name=m&name=n&origin=x", "name=m&origin=ext::sh+-c+id", "name=..%2fm&origin=ssh://h/x", "%zz", "",
		"name=m&origin=http://[::1]:80/x&move=http://h/%2e%2e", "name=m&origin=git@[::1]:/x&wait=-1", "name=m&origin=https://u@h/x&wait=9e99h",
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
		if err != nil || again.Wait != time.Minute || again.Name != req.Name || again.Accept != req.Accept ||
			again.Origin != req.Origin || !again.Move.Same(req.Move) {
			t.Errorf("%q passed on: %+v became %+v, %v", body, req, again, err)
		}
	})
}

// FuzzReadStatus: what another server tells is either refused, or fit to be shown.
func FuzzReadStatus(f *testing.F) {
	const secret = "the-token-of-the-cluster"
	id, digest := strings.Repeat("a", 40), strings.Repeat("b", 64)
	for _, s := range []string{
		`{"role":"slave","total":1,"id":"x","mirrors":[{"name":"a/b","state":"success","origin":"https://u:p@h/x","modify_date":1,"revision":"` + id + `","fingerprint":"` + digest + `","refs":2}]}`,
		`{"role":"master","total":0,"mirrors":[],"upstream":{"total":9,"slaves":[{"role":"slave","address":"h:1","total":0,"error":"\u001b[2Jx\ny"}]}}`,
		`{"role":"slave","total":2,"mirrors":[{"name":"../x"},{"name":"m","state":"evil","error":"` + secret + `"}]}`,
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
		for _, line := range []string{m.Origin, m.Branch, m.From, m.Error, string(m.State)} {
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

// FuzzVia: what is passed on is understood by the next server as by this one.
func FuzzVia(f *testing.F) {
	for _, s := range []string{"", "a", "a,b", " a , b ,", ",,,", strings.Repeat("a,", maxVia), strings.Repeat("a,", maxVia+1), strings.Repeat("x", 64), strings.Repeat("x", 65), "a\tb", "ü"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		ids, err := ParseVia(value)
		if err != nil {
			return
		}
		if len(ids) > maxVia || slices.ContainsFunc(ids, func(id string) bool { return id == "" || len(id) > 64 || strings.Contains(id, ",") }) {
			t.Errorf("%q names %q", value, ids)
		}
		if again, err := ParseVia(strings.Join(ids, ", ")); err != nil || !slices.Equal(again, ids) {
			t.Errorf("%q names %q, passed on %q, %v", value, ids, again, err)
		}
	})
}
