package main

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
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
		req, wait, err := parsePull(form, allowLocal)
		if err != nil {
			return
		}
		if !req.Origin.Known() || req.Origin.IsLocal() && !allowLocal || strings.HasPrefix(req.Origin.String(), "-") || wait < noWait {
			t.Errorf("%q became %+v, wait %s", body, req, wait)
		}
		again, wait, err := parsePull(req.form(time.Minute), allowLocal)
		if err != nil || wait != time.Minute || again.Name != req.Name || again.Accept != req.Accept ||
			again.Origin != req.Origin || !again.Move.Same(req.Move) {
			t.Errorf("%q passed on: %+v became %+v, %v", body, req, again, err)
		}
	})
}

// FuzzParseTar: no word of a client leaves the archive or becomes an option.
func FuzzParseTar(f *testing.F) {
	for _, s := range []string{
		"/a/b?ref=main&format=tar.gz", "/%2e%2e/x", "/m?path=a/../b", "/m?prefix=x/&path=-x", "/m?ref=--output=x", "/m?ref=a&ref=b",
		"/m?contains=" + strings.Repeat("A", 40), "/m?ref=" + strings.Repeat("0", 64), "/m?%zz", "/m?path=%00", "/m;x?a;b",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := url.ParseRequestURI(raw)
		if err != nil {
			return
		}
		req, err := parseTar(u)
		if err != nil {
			return
		}
		for _, path := range []string{req.name.Path(), req.want.path, strings.TrimSuffix(req.want.prefix, "/")} {
			if path != "" && !filepath.IsLocal(path) || strings.Contains(path, "\x00") {
				t.Errorf("%q leads to %q", raw, path)
			}
		}
		for _, word := range []string{req.name.Path(), req.want.prefix} { // a path may be any name in a tree
			if strings.HasPrefix(word, "-") || strings.Contains(word, "\n") {
				t.Errorf("%q becomes %q", raw, word)
			}
		}
		if strings.HasPrefix(req.want.ref, "-") || req.want.format == nil || req.contains != "" && !git.IsID(req.contains) {
			t.Errorf("%q became %+v", raw, req)
		}
	})
}

// FuzzStateFile: a mirror's own file, whatever became of it on disk.
func FuzzStateFile(f *testing.F) {
	for _, s := range []string{
		`{"origin":"https://h/x","user":"u","password":"p","outcome":"success","pulled":"2026-01-02T03:04:05+02:00"}`,
		`{"outcome":"failed","last_error":"x\u0000y","pending":{"head":{"Ref":"refs/heads/main","ID":""},"refs":"00"}}`,
		`{"origin":"ext::x","outcome":1}`, `{"pulled":"9999-12-31T23:59:59Z"}`, ``, `null`, `[]`, `{"origin":"--upload-pack=x"}`, `{"pending":null}{`, "\x00",
	} {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		dir, err := os.MkdirTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		if err := os.WriteFile(filepath.Join(dir, storage.StateFile), text, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := readState(dir)
		if err != nil {
			return
		}
		if o := s.origin(); strings.HasPrefix(o.String(), "-") || strings.Contains(o.String(), "::") && !o.IsLocal() && !strings.Contains(o.String(), "[") {
			t.Errorf("%q names the origin %q", text, o.String())
		}
		if err := s.write(dir); err != nil {
			t.Fatalf("%q cannot be written again: %v", text, err)
		}
		again, err := readState(dir)
		before, _ := json.Marshal(s)
		after, _ := json.Marshal(again)
		if err != nil || string(before) != string(after) {
			t.Errorf("%s became %s, %v", before, after, err)
		}
	})
}
