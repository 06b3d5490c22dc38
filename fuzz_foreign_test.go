package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/BurntSushi/toml"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/storage"
)

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
		doc, err := readStatus(bytes.NewReader(text), []string{secret})
		if err != nil {
			return
		}
		checkDocument(t, doc)
		for _, format := range []string{"hierarchical", "json", "toml"} {
			shown, err := doc.render(format)
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
				again, err := readStatus(bytes.NewReader(shown), []string{secret})
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

func checkDocument(t *testing.T, doc *statusDocument) {
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
		ids, err := parseVia(value)
		if err != nil {
			return
		}
		if len(ids) > maxVia || slices.ContainsFunc(ids, func(id string) bool { return id == "" || len(id) > 64 || strings.Contains(id, ",") }) {
			t.Errorf("%q names %q", value, ids)
		}
		if again, err := parseVia(strings.Join(ids, ", ")); err != nil || !slices.Equal(again, ids) {
			t.Errorf("%q names %q, passed on %q, %v", value, ids, again, err)
		}
	})
}
