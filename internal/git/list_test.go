package git

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/pktline"
)

// TestIsRefName compares with git.
func TestIsRefName(t *testing.T) {
	names := []string{
		"refs/heads/main", "refs/heads/a/b", "refs/heads/HEAD", "refs/heads/-x", "refs/heads/--output=x",
		"refs/heads/ü", "refs/heads/a@b", "refs/heads/@", "refs/heads/a.b", "refs/heads/a{", "refs/tags/v1.0",
		"HEAD", "main", "", "/", "refs//heads", "refs/heads/", "/refs/heads/x", "refs/heads/.x", "refs/heads/x.",
		"refs/heads/a..b", "refs/heads/x.lock", "refs/heads/x.lock/y", "refs/heads/a b", "refs/heads/a~1",
		"refs/heads/a^", "refs/heads/a:b", "refs/heads/a?", "refs/heads/a*", "refs/heads/a[b", "refs/heads/a\\b",
		"refs/heads/@{x", "refs/heads/a\x01", "refs/heads/a\x7f", "refs/heads/a\tb",
	}
	for _, name := range names {
		want := exec.Command("git", "check-ref-format", name).Run() == nil
		if got := IsRefName(name); got != want {
			t.Errorf("IsRefName(%q) = %v, git says %v", name, got, want)
		}
	}
	if IsRefName("refs/heads/a\x00b") || IsRefName("refs/heads/"+strings.Repeat("x", maxRefName)) {
		t.Error("a NUL or an over-long name is taken")
	}
	for _, long := range []string{strings.Repeat("x", 300), strings.Repeat("x/", 3000) + "y"} {
		if name := "refs/heads/" + long; !IsRefName(name) || fitsFile(name) {
			t.Errorf("a name of %d bytes: it is legal: %v, it can be a file: %v", len(name), IsRefName(name), fitsFile(name))
		}
	}
}

// TestLongestName: the longest name fits in a line of every protocol, together with HEAD.
func TestLongestName(t *testing.T) {
	name := "refs/heads/" + strings.Repeat("x/", (maxRefName-len("refs/heads/"))/2-1) + "x"
	if !IsRefName(name) {
		t.Fatal("it is no name")
	}
	id := strings.Repeat("a", 64)
	l := Listing{Refs: []Ref{{name, id, id}}, Head: Head{name, id}}
	g := Greeting{capabilities: strings.Repeat("y", 500)}
	var out bytes.Buffer
	if err := g.Write(&out, l); err != nil || pktline.Check(&out) != nil {
		t.Errorf("%v, %v", err, pktline.Check(&out))
	}
}

// TestHeadInJSON: the name of a branch need not be UTF-8, and stays the same.
func TestHeadInJSON(t *testing.T) {
	for _, want := range []Head{{}, {"refs/heads/main", "a"}, {"refs/heads/caf\xe9", "a"}, {"refs/heads/\ufffd", ""}, {"", "b"}} {
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got Head
		if err := json.Unmarshal(text, &got); err != nil || got != want {
			t.Errorf("%q became %s and %q (%v)", want, text, got, err)
		}
	}
	var old Head // as it was written before
	if err := json.Unmarshal([]byte(`{"Ref":"refs/heads/main","ID":"a"}`), &old); err != nil || old != (Head{"refs/heads/main", "a"}) {
		t.Errorf("%+v, %v", old, err)
	}
}

func TestParseListing(t *testing.T) {
	const a, b, c = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "cccccccccccccccccccccccccccccccccccccccc"
	got, err := parseListing("ref: refs/heads/main\tHEAD\n" + a + "\tHEAD\n" +
		b + "\trefs/tags/v1\n" + c + "\trefs/tags/v1^{}\n" + a + "\trefs/heads/main\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []Ref{{"refs/heads/main", a, a}, {"refs/tags/v1", b, c}}
	if got.Head != (Head{"refs/heads/main", a}) || !slices.Equal(got.Refs, want) {
		t.Errorf("got %+v", got)
	}
	if ref, ok := got.Find("refs/tags/v1"); !ok || ref.Peeled != c {
		t.Errorf("Find = %+v, %v", ref, ok)
	}
	if got, err := parseListing(""); err != nil || len(got.Refs) != 0 || got.Head != (Head{}) {
		t.Errorf("an empty origin: %+v, %v", got, err)
	}
	if got, err := parseListing(a + "\tHEAD\n"); err != nil || !got.Head.Detached() {
		t.Errorf("a detached HEAD: %+v, %v", got, err)
	}
	for _, bad := range []string{"x\ty\n", a + " refs/heads/x\n", strings.ToUpper(a) + "\trefs/heads/x\n", "\n"} {
		if _, err := parseListing(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
