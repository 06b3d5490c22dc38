package git

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/pktline"
	"github.com/reconquest/sould/tests/origin"
)

// TestGreetingsAreThoseOfGit: what is written from refs in memory equals what git writes, byte
// by byte.
func TestGreetingsAreThoseOfGit(t *testing.T) {
	other := origin.New(t, filepath.Join(t.TempDir(), "other.git"))
	other.Commit("x", nil)
	for _, format := range []string{"sha1", "sha256"} {
		r := origin.New(t, filepath.Join(t.TempDir(), "r.git"), "--object-format="+format)
		main := r.Commit("main", map[string]string{"f": "1"})
		r.Commit("dev", map[string]string{"f": "2"})
		r.Git("tag", "-a", "-m", "m", "v1", "dev")
		r.Git("tag", "-a", "-m", "m", "v2", "v1")
		r.Git("tag", "blob", "main:f")
		r.Git("update-ref", "refs/notes/x", "main")
		r.Git("pack-refs", "--all")
		for what, head := range map[string]func(){
			"a branch":          func() { r.Git("symbolic-ref", "HEAD", "refs/heads/main") },
			"none":              func() { r.Git("symbolic-ref", "HEAD", "refs/heads/none") },
			"a commit":          func() { r.Git("update-ref", "--no-deref", "HEAD", main) },
			"a tag as a branch": func() { r.Git("symbolic-ref", "HEAD", "refs/tags/v1") },
			"what can be no file": func() {
				long := "refs/heads/x" + strings.Repeat("y", 300)
				packed := filepath.Join(r.Dir, "packed-refs")
				text, err := os.ReadFile(packed)
				if err == nil && !strings.Contains(string(text), long) {
					line := main + " refs/notes/x\n" // listed after main
					err = os.WriteFile(packed, []byte(strings.Replace(string(text), line, main+" "+long+"\n"+line, 1)), 0o644)
				}
				if err = errors.Join(err, os.WriteFile(filepath.Join(r.Dir, "HEAD"), []byte("ref: "+long+"\n"), 0o644)); err != nil {
					t.Fatal(err)
				}
				if out := r.Git("for-each-ref"); !strings.Contains(out, long) {
					t.Fatalf("no such ref in\n%s", out)
				}
			},
		} {
			head()
			repo := New(Options{}).Repo(r.Dir)
			l, err := repo.Refs(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for version := range 3 {
				want, err := repo.Advertise(t.Context(), version)
				if err != nil {
					t.Fatal(err)
				}
				// The capabilities come from another repository with another HEAD.
				g := greetingOf(t, other, version, 40)
				if format == "sha256" {
					g = greetingOf(t, r, version, 64)
				}
				if version == 2 {
					if string(g.Early()) != string(want) {
						t.Errorf("%s: while a repository is made:\n%q\ngit:\n%q", format, g.Early(), want)
					}
					want = []byte(offered.ReplaceAllStringFunc(string(want), func(line string) string {
						return string(pktline.Append(nil, offered.FindStringSubmatch(line)[1], "\n"))
					}))
				}
				var got bytes.Buffer
				if err := g.Write(&got, l); err != nil || sortedWords(got.String()) != sortedWords(string(want)) {
					t.Errorf("%s, HEAD names %s, version %d:\n%q\ngit:\n%q%v", format, what, version, got.String(), want, err)
				}
			}
			for _, arguments := range [][]string{
				nil, {"peel"}, {"symrefs", "unborn"},
				{"peel", "symrefs", "unborn", "ref-prefix refs/heads/", "ref-prefix HEAD", "ref-prefix refs/tags/v1"},
				{"ref-prefix refs/heads/main", "ref-prefix refs/heads/", "ref-prefix refs/heads/n", "peel"},
				{"ref-prefix refs/tags/v", "ref-prefix refs/tags/va", "ref-prefix refs/tags/b"},
				{"ref-prefix nothing"}, {"ref-prefix "},
			} {
				request := lsRefs([]string{"agent=x", "object-format=" + format}, arguments...)
				want, err := repo.Answer(t.Context(), 2, strings.NewReader(request))
				if err != nil {
					t.Fatal(err)
				}
				ls, ok := ParseLsRefs(strings.NewReader(request), l.IDLength())
				var got bytes.Buffer
				if err := ls.Write(&got, l); !ok || err != nil || got.String() != string(want) {
					t.Errorf("%s, HEAD names %s, ls-refs %q:\n%q\ngit:\n%q%v", format, what, arguments, got.String(), want, err)
				}
			}
		}
	}
}

// offered is git's offer to talk before there is an answer, which clients of repositories are not shown.
var offered = regexp.MustCompile(`[0-9a-f]{4}(fetch=.*) sideband-all\n`)

func greetingOf(t *testing.T, r *origin.Repo, version, idLength int) Greeting {
	t.Helper()
	advertised, err := New(Options{}).Repo(r.Dir).Advertise(t.Context(), version)
	if err != nil {
		t.Fatal(err)
	}
	g, err := NewGreeting(advertised, version, idLength)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// sortedWords is an advertisement with its capabilities sorted, since their order does not
// matter.
func sortedWords(advertised string) string {
	head, rest, ok := strings.Cut(advertised, "\x00")
	if !ok {
		return advertised
	}
	capabilities, rest, _ := strings.Cut(rest, "\n")
	words := strings.Fields(capabilities)
	slices.Sort(words)
	return head + "\x00" + strings.Join(words, " ") + "\n" + rest
}

// lsRefs is a request for a list of refs.
func lsRefs(capabilities []string, arguments ...string) string {
	b := pktline.Append(nil, "command=ls-refs\n")
	for _, c := range capabilities {
		b = pktline.Append(b, c)
	}
	b = append(b, pktline.Delim...)
	for _, a := range arguments {
		b = pktline.Append(b, a, "\n")
	}
	return string(append(b, pktline.Flush...))
}

func TestParseLsRefsLeavesToGitWhatItDoesNotKnow(t *testing.T) {
	for _, request := range []string{
		"", "0000", lsRefs(nil, "peal"), lsRefs([]string{"x=y"}), lsRefs([]string{"object-format=sha256"}),
		lsRefs(nil) + "0000", strings.TrimSuffix(lsRefs(nil, "peel"), "0000"),
		strings.Replace(lsRefs(nil), "0001", "00010001", 1), strings.Replace(lsRefs(nil), "0001", "0002", 1),
		"0011command=fetch0000",
	} {
		if ls, ok := ParseLsRefs(strings.NewReader(request), 40); ok {
			t.Errorf("%q is taken for %+v", request, ls)
		}
	}
	many := make([]string, maxPrefixes+1)
	for i := range many {
		many[i] = fmt.Sprint("ref-prefix refs/heads/", i)
	}
	if ls, ok := ParseLsRefs(strings.NewReader(lsRefs(nil, many...)), 40); !ok || !ls.selects("refs/tags/x") {
		t.Errorf("%d prefixes: %v", len(many), ok)
	}
}

func FuzzLsRefs(f *testing.F) {
	f.Add([]byte(lsRefs([]string{"agent=x"}, "peel", "ref-prefix refs/heads/")))
	l := Listing{Refs: []Ref{{Name: "refs/heads/a", ID: "1", Peeled: "1"}, {Name: "refs/tags/a", ID: "2", Peeled: "1"}}}
	f.Fuzz(func(t *testing.T, request []byte) {
		framed := pktline.Check(bytes.NewReader(request)) == nil
		ls, ok := ParseLsRefs(bytes.NewReader(request), 40)
		if ok && !framed {
			t.Errorf("%q is a request, and no pkt-lines", request)
		}
		var answer bytes.Buffer
		if err := ls.Write(&answer, l); err != nil || pktline.Check(&answer) != nil {
			t.Errorf("%q is answered with %q, %v", request, answer.String(), err)
		}
	})
}

// TestUploadPackOfARepositoryThatLacksObjects fails, and not because of the client's request.
func TestUploadPackOfARepositoryThatLacksObjects(t *testing.T) {
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	tip := r.Commit("main", map[string]string{"f": "1"})
	ask := func(want string) error {
		request := "0032want " + want + "\n00000009done\n"
		return New(Options{}).Repo(r.Dir).UploadPack(t.Context(), 0, strings.NewReader(request), &bytes.Buffer{})
	}
	if err := ask(tip); err != nil {
		t.Fatal(err)
	}
	if err := ask(strings.Repeat("1", 40)); !IsRequestError(err) {
		t.Errorf("an unknown object: %v", err)
	}
	r.Git("repack", "-adq")
	packs, err := filepath.Glob(filepath.Join(r.Dir, "objects/pack/*.pack"))
	if err != nil || len(packs) != 1 {
		t.Fatal(packs, err)
	}
	if err := errors.Join(os.Chmod(packs[0], 0o644), os.Truncate(packs[0], 20)); err != nil {
		t.Fatal(err)
	}
	if err := ask(tip); err == nil || IsRequestError(err) {
		t.Errorf("a truncated pack: %v, as if the client were at fault", err)
	}
}
