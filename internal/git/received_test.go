package git

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// packsOf remembers what it gets of each transfer.
type packsOf struct{ got []*bytes.Buffer }

func (p *packsOf) next() io.Writer {
	p.got = append(p.got, new(bytes.Buffer))
	return p.got[len(p.got)-1]
}

// TestPacksComeAsTheyAre: what Packs gets is the pack that git stores, in each transport.
func TestPacksComeAsTheyAre(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	r := origin.New(t, filepath.Join(root, "r.git"))
	var tip string
	for _, text := range []string{"1", "2", "3"} {
		tip = r.Commit("main", map[string]string{"f": strings.Repeat(text, 100_000), text: text})
	}
	for what, url := range map[string]string{
		"path": r.Dir, "http": origin.ServeHTTP(t, root).URL + "/r.git", "git": origin.ServeGit(t, root) + "/r.git",
		"only version 2": origin.ServeModernGit(t, root) + "/r.git",
	} {
		for _, clone := range []bool{true, false} {
			var packs packsOf
			repo := New(Options{AllowLocal: true}).Repo(filepath.Join(t.TempDir(), "m"))
			if err := repo.Init(t.Context(), 40, ""); err != nil {
				t.Fatal(err)
			}
			if _, err := repo.Fetch(t.Context(), Remote{URL: url}, []string{tip}, FetchMode{Clone: clone, Packs: packs.next}, nil); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			stored, _ := filepath.Glob(filepath.Join(repo.Dir, "objects/pack/*.pack"))
			if len(stored) != 1 {
				t.Fatalf("%s: %d packs are stored", what, len(stored))
			}
			want, err := os.ReadFile(stored[0])
			if err != nil {
				t.Fatal(err)
			}
			var all []byte
			for _, one := range packs.got {
				all = append(all, one.Bytes()...)
			}
			if !bytes.Equal(all, want) {
				t.Errorf("%s, clone %v: %d bytes came, %d are stored", what, clone, len(all), len(want))
			}
		}
	}
}

// TestPacksOfAShallowRemote: nobody gets them.
func TestPacksOfAShallowRemote(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	r := origin.New(t, filepath.Join(root, "r.git"))
	r.Commit("main", map[string]string{"f": "1"})
	tip := r.Commit("main", map[string]string{"f": "2"})
	r.Git("clone", "--quiet", "--bare", "--depth=1", "file://"+r.Dir, filepath.Join(root, "shallow.git"))
	for what, url := range map[string]string{
		"path": filepath.Join(root, "shallow.git"), "http": origin.ServeHTTP(t, root).URL + "/shallow.git",
		"git": origin.ServeGit(t, root) + "/shallow.git",
	} {
		for _, clone := range []bool{true, false} {
			var packs packsOf
			repo := New(Options{AllowLocal: true}).Repo(filepath.Join(t.TempDir(), "m"))
			if err := repo.Init(t.Context(), 40, ""); err != nil {
				t.Fatal(err)
			}
			if _, err := repo.Fetch(t.Context(), Remote{URL: url}, []string{tip}, FetchMode{Clone: clone, Packs: packs.next}, nil); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if !repo.IsShallow() || len(packs.got) == 0 {
				t.Errorf("%s, clone %v: shallow %v, after %d transfers", what, clone, repo.IsShallow(), len(packs.got))
			}
			for _, one := range packs.got {
				if one.Len() > 0 {
					t.Errorf("%s, clone %v: somebody got %d bytes", what, clone, one.Len())
				}
			}
		}
	}
}

// TestPacksThatNobodyTakes: a writer that fails does not disturb the transfer.
func TestPacksThatNobodyTakes(t *testing.T) {
	t.Parallel()
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	noise := make([]byte, 3<<20) // more than a pipe holds
	for i := range noise {
		noise[i] = byte(i * i >> 7)
	}
	tip := r.Commit("main", map[string]string{"f": string(noise), "g": strings.Repeat("x", 100)})
	for _, w := range []io.Writer{nil, failing{}} {
		repo := New(Options{AllowLocal: true}).Repo(filepath.Join(t.TempDir(), "m"))
		if err := repo.Init(t.Context(), 40, ""); err != nil {
			t.Fatal(err)
		}
		mode := FetchMode{Clone: true, Packs: func() io.Writer { return w }}
		if _, err := repo.Fetch(t.Context(), Remote{URL: r.Dir}, []string{tip}, mode, nil); err != nil {
			t.Errorf("%T: %v", w, err)
		}
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("no") }
