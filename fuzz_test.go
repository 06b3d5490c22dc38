package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
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
		if !req.Origin.Known() || req.Origin.local && !allowLocal || strings.HasPrefix(req.Origin.url, "-") || wait < noWait {
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

// planNames are the refs that FuzzPlan deals with: some that cannot be beside each
// other, some that no pattern selects, and enough to be refused.
var planNames = func() (names []string) {
	names = []string{
		"refs/heads/main", "refs/heads/master", "refs/heads/a", "refs/heads/a/b", "refs/heads/a/b/c", "refs/heads/a-b", "refs/heads/-x",
		"refs/tags/a", "refs/tags/v1", "refs/pull/1/head", "refs/sould/x", "refs/replace/" + strings.Repeat("1", 40), "refs/notes/x", "refs/heads/..", "HEAD", "refs/heads/a b",
	}
	for i := range 48 {
		names = append(names, fmt.Sprintf("refs/heads/n%02d", i))
	}
	return names
}()

// planListing makes a listing of pairs of bytes: a name and an id.
func planListing(text []byte) git.Listing {
	id := func(b byte) string { return strings.Repeat(fmt.Sprintf("%02x", b&15), 20) }
	var l git.Listing
	if len(text) > 0 {
		kind, rest := text[0], text[1:]
		if l.Head.Ref = planNames[int(kind>>1)%len(planNames)]; kind&1 != 0 {
			l.Head = git.Head{ID: id(kind >> 1)}
		}
		for i := 0; i+1 < len(rest); i += 2 {
			l.Refs = append(l.Refs, git.Ref{Name: planNames[int(rest[i])%len(planNames)], ID: id(rest[i+1]), Peeled: id(rest[i+1])})
		}
	}
	slices.SortStableFunc(l.Refs, func(a, b git.Ref) int { return strings.Compare(a.Name, b.Name) })
	l.Refs = slices.CompactFunc(l.Refs, func(a, b git.Ref) bool { return a.Name == b.Name })
	if ref, ok := l.Find(l.Head.Ref); ok {
		l.Head.ID = ref.ID
	}
	return l
}

// FuzzPlan checks what must be true of every plan.
func FuzzPlan(f *testing.F) {
	many := []byte{0}
	for i := range 40 {
		many = append(many, byte(16+i), byte(i))
	}
	f.Add([]byte{0, 0, 1, 1, 1}, []byte{0, 0, 2}, false, byte(0))
	f.Add(many, []byte{0, 0, 1}, false, byte(0))
	f.Add(many, []byte{}, true, byte(0))
	f.Add(many, many[:30], false, byte(1))
	f.Add([]byte{3, 20, 1, 21, 2}, []byte{80, 20, 1, 21, 2}, false, byte(0)) // a HEAD that was detached, and names nothing now
	f.Add([]byte{4, 2, 1, 9, 1}, []byte{6, 3, 1, 10, 2}, false, byte(2))
	f.Fuzz(func(t *testing.T, mine, theirs []byte, accept bool, which byte) {
		var patterns []RefPattern
		for _, s := range [][]string{{"refs/heads/*", "refs/tags/*"}, {"refs/*"}, {"refs/heads/a*", "refs/pull/*/head"}}[which%3] {
			p, err := ParseRefPattern(s)
			if err != nil {
				t.Fatal(err)
			}
			patterns = append(patterns, p)
		}
		now, origin := planListing(mine), planListing(theirs)
		if compatible(now) != nil || !now.Head.Detached() && !strings.HasPrefix(now.Head.Ref, "refs/heads/") {
			return // no repository is like that
		}
		checkPlan(t, now, origin, patterns, accept)
	})
}

func checkPlan(t *testing.T, now, origin git.Listing, patterns []RefPattern, accept bool) {
	want, had, gone := make(map[string]string), 0, 0
	for _, ref := range now.Refs {
		_, kept := origin.Find(ref.Name)
		switch ours := selected(patterns, ref.Name); {
		case !ours:
			want[ref.Name] = ref.ID
		case !kept:
			gone++
			fallthrough
		default:
			had++
		}
	}
	arriving := 0
	for _, ref := range origin.Refs {
		if selected(patterns, ref.Name) {
			want[ref.Name] = ref.ID
			arriving++
		}
	}
	mustRefuse := had > 0 && arriving == 0 || gone > tolerableDeletions && 2*gone > had
	accepts := acceptance("")
	if accept {
		accepts = acceptAll
	}

	p, err := makePlan(now, origin, patterns, accepts)
	var no *refusal
	if errors.As(err, &no) != (mustRefuse && !accept) {
		t.Fatalf("%d of %d refs are gone, %d arrive, accept %q: %v", gone, had, arriving, accepts, err)
	}
	if accept && err == nil { // accepting this and nothing else is the same
		_, same := makePlan(now, origin, patterns, acceptance(fingerprint(p.after, patterns)))
		_, other := makePlan(now, origin, patterns, acceptance(fingerprint(git.Listing{Head: git.Head{ID: "another"}}, nil)))
		if same != nil || errors.As(other, &no) != mustRefuse {
			t.Errorf("accepting what it becomes: %v; another thing: %v", same, other)
		}
	}
	if err != nil {
		if len(p.write)+len(p.remove)+len(p.fetch) > 0 || p.head != nil {
			t.Errorf("a plan beside the error %v: %+v", err, p)
		}
		return
	}
	got := make(map[string]string)
	for i, ref := range p.after.Refs {
		got[ref.Name] = ref.ID
		if i > 0 && p.after.Refs[i-1].Name >= ref.Name {
			t.Errorf("%s stands before %s", p.after.Refs[i-1].Name, ref.Name)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the mirror would hold\n%v\nwant\n%v", got, want)
	}
	if err := compatible(p.after); err != nil {
		t.Error(err)
	}

	// What is written and removed leads from the one to the other.
	known, brought, applied := map[string]bool{now.Head.ID: true}, make(map[string]bool), make(map[string]string)
	for _, ref := range now.Refs {
		known[ref.ID], applied[ref.Name] = true, ref.ID
	}
	for _, name := range p.remove {
		if _, ok := applied[name]; !ok {
			t.Errorf("%s is to be removed and is not there", name)
		}
		delete(applied, name)
	}
	for _, id := range p.fetch {
		if known[id] || brought[id] {
			t.Errorf("%s is fetched, and is known", id)
		}
		brought[id] = true
	}
	for _, ref := range p.write {
		applied[ref.Name] = ref.ID
		if !known[ref.ID] && !brought[ref.ID] {
			t.Errorf("%s becomes %s, which nobody brings", ref.Name, ref.ID)
		}
	}
	if fmt.Sprint(applied) != fmt.Sprint(want) {
		t.Errorf("written and removed: %v, want %v", applied, want)
	}

	// HEAD on disk is what readers are told.
	head := now.Head
	if p.head != nil {
		head = *p.head
	}
	if !head.Detached() {
		ref, _ := p.after.Find(head.Ref)
		head.ID = ref.ID
	}
	if head != p.after.Head {
		t.Errorf("HEAD was %v, the origin's is %v; readers are told %v, on disk is %v", now.Head, origin.Head, p.after.Head, head)
	}
	if head.Ref == "" && head.ID == "" && now.Head != head {
		t.Error("HEAD becomes nothing at all")
	}
	if head.Detached() && !known[head.ID] && !brought[head.ID] {
		t.Errorf("HEAD becomes %s, which nobody brings", head.ID)
	}
	if again, err := makePlan(p.after, origin, patterns, accepts); err != nil || !again.nothing() {
		t.Errorf("the next pull would do something again: %+v, %v", again, err)
	}
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
		if err := os.WriteFile(filepath.Join(dir, stateName), text, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := readState(dir)
		if err != nil {
			return
		}
		if o := s.origin(); strings.HasPrefix(o.url, "-") || strings.Contains(o.url, "::") && !o.local && !strings.Contains(o.url, "[") {
			t.Errorf("%q names the origin %q", text, o.url)
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

// FuzzUnits: durations and sizes are read as they are shown.
func FuzzUnits(f *testing.F) {
	for _, s := range []string{"1500", "90s", "1h30m", "-1", "4GiB", "500 MB", "1.5GiB", "9007199254740993", "1e400", "NaN", "0x1p10B", "9223372036854775807", "+1", "Inf", "1_000"} {
		f.Add(s, int64(len(s))<<53+1)
	}
	f.Fuzz(func(t *testing.T, s string, n int64) {
		if d, err := parseDuration(s); err == nil {
			if again, err := parseDuration(d.String()); err != nil || again != d {
				t.Errorf("%q is %s, which reads as %s, %v", s, d, again, err)
			}
		}
		sizes := []int64{max(n, 0)}
		if size, err := parseSize(s); err == nil {
			sizes = append(sizes, size)
		}
		for _, size := range sizes {
			if again, err := parseSize(formatSize(size)); err != nil || again != size || size < 0 {
				t.Errorf("%d bytes are shown as %s, which reads as %d, %v", size, formatSize(size), again, err)
			}
		}
	})
}
