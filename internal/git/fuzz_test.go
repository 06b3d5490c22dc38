package git

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const fuzzID = "8d3f1c2a4b5d6e7f8091a2b3c4d5e6f708192a3b"

// FuzzParseListing: any list of an origin becomes sorted names and whole ids, which can be
// written and read again.
func FuzzParseListing(f *testing.F) {
	for _, s := range []string{
		"ref: refs/heads/main\tHEAD\n" + fuzzID + "\tHEAD\n" + fuzzID + "\trefs/heads/main\n",
		fuzzID + "\trefs/tags/v1\n" + fuzzID + "\trefs/tags/v1^{}\n", fuzzID + "\trefs/tags/v1^{}\n",
		fuzzID + "\trefs/heads/b\n" + fuzzID + "\trefs/heads/a\n" + fuzzID + "\trefs/heads/a\n",
		"ref: \tHEAD\n", "ref: refs/heads/x\trefs/heads/y\n", fuzzID + " refs/heads/x", "\t", "", "x\ty\n", fuzzID + "\t\n", fuzzID + "\t^{}",
	} {
		f.Add(s)
	}
	repo := New(Options{}).Repo(f.TempDir())
	f.Fuzz(func(t *testing.T, out string) {
		l, err := parseListing(out)
		if err != nil {
			return
		}
		sane(t, l)
		l.Refs = slices.DeleteFunc(l.Refs, func(r Ref) bool { return !IsRefName(r.Name) })
		if err := repo.WriteRefs(l.Refs); err != nil {
			t.Fatal(err)
		}
		again, plain, err := repo.readPacked()
		if err != nil || !plain || !slices.Equal(again.Refs, l.Refs) {
			t.Errorf("%q: written were\n%v\nread\n%v, %v, %v", out, l.Refs, again.Refs, plain, err)
		}
	})
}

func sane(t *testing.T, l Listing) {
	t.Helper()
	for i, ref := range l.Refs {
		if !IsID(ref.ID) || !IsID(ref.Peeled) {
			t.Errorf("%+v", ref)
		}
		if i > 0 && l.Refs[i-1].Name >= ref.Name {
			t.Errorf("%q stands before %q", l.Refs[i-1].Name, ref.Name)
		}
		if found, ok := l.Find(ref.Name); !ok || found != ref {
			t.Errorf("%q is not found", ref.Name)
		}
	}
	if l.Head.ID != "" && !IsID(l.Head.ID) {
		t.Errorf("HEAD is %+v", l.Head)
	}
}

// FuzzReadPacked reads an arbitrary packed-refs.
func FuzzReadPacked(f *testing.F) {
	for _, s := range []string{
		fuzzID + " refs/heads/main\n", fuzzID + " refs/tags/v1\n^" + fuzzID + "\n", "^" + fuzzID + "\n", fuzzID + " b\n" + fuzzID + " a\n",
		fuzzID + " refs/heads/main", "\n", "#x\n", fuzzID + "\n", fuzzID[:20], "\x00\x00\x00",
	} {
		f.Add(packedHeader+"\n"+s, "ref: refs/heads/main\n")
	}
	f.Add("# pack-refs with: peeled \n"+fuzzID+" x\n", fuzzID)
	f.Add("", "\x00")
	dir := f.TempDir()
	repo := New(Options{}).Repo(dir)
	f.Fuzz(func(t *testing.T, text, head string) {
		for name, text := range map[string]string{"packed-refs": text, "HEAD": head} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		l, plain, err := repo.readPacked()
		if err != nil {
			t.Fatal(err)
		}
		if !plain {
			if len(l.Refs) > 0 {
				t.Errorf("%q is not understood, and shows %v", text, l.Refs)
			}
			return
		}
		if h, err := repo.readHead(l); err == nil && h.Ref == "" && !IsID(h.ID) {
			t.Errorf("HEAD %q is read as %+v", head, h)
		}
		sane(t, l)
	})
}

// FuzzIsRefName compares with git: no name may be accepted that git refuses.
func FuzzIsRefName(f *testing.F) {
	for _, s := range []string{"main", "-x", "a.lock/b", "@", "/x", "x/", "..", "a.", "\x7f", "\xff", "ü", "@/x", "@{", ".a", "-/0", "a b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if name = "refs/" + name; strings.Contains(name, "\x00") || len(name) > 1000 {
			return
		}
		err := exec.Command("git", "check-ref-format", name).Run()
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if ours := IsRefName(name); ours && err != nil {
			t.Errorf("git does not take %q", name)
		}
	})
}
