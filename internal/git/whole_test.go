package git

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// mirrored makes a repository with a few commits, and a copy with all of them in one pack.
func mirrored(t *testing.T) (r *origin.Repo, repo Repo, tip string) {
	t.Helper()
	r = origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	for _, text := range []string{"1", "2", "3"} {
		tip = r.Commit("main", map[string]string{"file": text})
	}
	dir := filepath.Join(t.TempDir(), "m.git")
	if out, err := origin.Command("clone", "--quiet", "--mirror", "file://"+r.Dir, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return r, New(Options{AllowLocal: true, Scratch: t.TempDir()}).Repo(dir), tip
}

// TestConnected finds what is missing, whatever the repository's configuration excuses.
func TestConnected(t *testing.T) {
	for what, c := range map[string]struct {
		spoil  func(r *origin.Repo, dir string) error
		damage string
	}{
		"nothing": {func(*origin.Repo, string) error { return nil }, ""},
		"a blob":  {func(r *origin.Repo, dir string) error { return drop(r, dir, "main~1:file") }, "missing blob"},
		"a blob that is promised": {func(r *origin.Repo, dir string) error {
			return errors.Join(drop(r, dir, "main:file"), appendTo(dir+"/config", "[remote \"origin\"]\n\tpromisor = true\n"))
		}, "missing blob"},
		"a tree":           {func(r *origin.Repo, dir string) error { return drop(r, dir, "main~2^{tree}") }, "tree"},
		"a commit":         {func(r *origin.Repo, dir string) error { return drop(r, dir, "main~1") }, "git rev-list"},
		"what a ref names": {func(r *origin.Repo, dir string) error { return drop(r, dir, "main") }, "bad object"},
		"a commit that a commit graph tells of": {func(r *origin.Repo, dir string) error {
			out, err := origin.Command("--git-dir="+dir, "commit-graph", "write", "--reachable").CombinedOutput()
			return errors.Join(err, drop(r, dir, "main~1"), errorOf(out, err))
		}, "git rev-list"},
		"the past, by a graft": {func(r *origin.Repo, dir string) error {
			return appendTo(dir+"/info/grafts", r.Git("rev-parse", "main~1")+"\n")
		}, "info/grafts"},
		"what git knows, by an extension that it does not": {func(_ *origin.Repo, dir string) error {
			return appendTo(dir+"/config", "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tx = true\n")
		}, "unknown repository extension"},
	} {
		r, repo, tip := mirrored(t)
		if err := os.MkdirAll(repo.Dir+"/info", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := c.spoil(r, repo.Dir); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		damage, err := repo.Connected(t.Context(), []string{tip})
		switch {
		case err != nil:
			t.Errorf("%s: %v", what, err)
		case c.damage == "" && damage != nil, c.damage != "" && damage == nil:
			t.Errorf("%s: %v", what, damage)
		case damage != nil && !strings.Contains(damage.Error(), c.damage):
			t.Errorf("%s: %v, want %q", what, damage, c.damage)
		}
	}
}

func errorOf(out []byte, err error) error {
	if err == nil {
		return nil
	}
	return errors.New(string(out))
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// drop removes an object from a repository.
func drop(r *origin.Repo, dir, rev string) error {
	id := r.Git("rev-parse", rev)
	packs, err := filepath.Glob(dir + "/objects/pack/*.pack")
	for _, pack := range packs {
		text, readErr := os.ReadFile(pack)
		cmd := origin.Command("--git-dir="+dir, "unpack-objects", "-q")
		cmd.Stdin = strings.NewReader(string(text))
		err = errors.Join(err, readErr, os.Remove(pack), os.Remove(strings.TrimSuffix(pack, "pack")+"idx"), cmd.Run())
	}
	return errors.Join(err, os.Remove(filepath.Join(dir, "objects", id[:2], id[2:])))
}

func TestInventory(t *testing.T) {
	_, repo, _ := mirrored(t)
	inventory := func() Inventory {
		t.Helper()
		i, err := repo.Inventory()
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	before := inventory()
	if len(before) != 2 || before.Digest() != inventory().Digest() || !inventory().Includes(before) {
		t.Errorf("a pack and its index are %v", before)
	}
	more := repo.Dir + "/objects/pack/pack-1.pack"
	if err := os.WriteFile(more, []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	after := inventory()
	if after.Digest() == before.Digest() || !after.Includes(before) || before.Includes(after) {
		t.Errorf("before there was %v, now there is %v", before, after)
	}
	if err := os.Truncate(more, 0); err != nil {
		t.Fatal(err)
	}
	if cut := inventory(); cut.Digest() == after.Digest() || cut.Includes(after) {
		t.Errorf("a cut pack makes no difference: %v", cut)
	}
	others := t.TempDir()
	if err := errors.Join(os.Mkdir(others+"/pack", 0o755), os.WriteFile(others+"/pack/pack-2.pack", []byte("22"), 0o644),
		os.WriteFile(repo.Dir+"/objects/info/alternates", []byte(others+"\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	all := inventory()
	if all[others+"/pack-2.pack"] != 2 {
		t.Errorf("borrowed packs are not among %v", all)
	}
	if own := before.Size(); all.Size() != own || own == 0 {
		t.Errorf("the own packs are %d bytes of %v", all.Size(), all)
	}
}

// TestHolds: temporary refs lead to fetched objects until Release, if the fetch was asked to
// hold them.
func TestHolds(t *testing.T) {
	r, repo, _ := mirrored(t)
	first := r.Commit("main", map[string]string{"file": "4"})
	second := r.Commit("other", map[string]string{"file": "5"})
	held := func() string {
		return r.Git("--git-dir="+repo.Dir, "for-each-ref", "--format=%(refname)", "refs/sould")
	}
	fetch := func(id string, mode FetchMode) {
		t.Helper()
		if _, err := repo.Fetch(t.Context(), Remote{URL: r.Dir}, []string{id}, mode, nil); err != nil {
			t.Fatal(err)
		}
	}
	fetch(first, FetchMode{})
	if got := held(); got != "" {
		t.Errorf("held is %q", got)
	}
	fetch(second, FetchMode{Hold: []string{second}})
	if got := held(); got != "refs/sould/incoming/"+second || !IsHold(got) {
		t.Errorf("held is %q", got)
	}
	if out, err := origin.Command("--git-dir="+repo.Dir, "repack", "-adq").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := repo.Commit(t.Context(), second); err != nil {
		t.Errorf("a held commit is gone: %v", err)
	}
	if err := repo.Release(); err != nil || held() != "" {
		t.Errorf("held is %q (%v)", held(), err)
	}
	if _, err := os.Stat(repo.Dir + "/refs/sould"); err == nil {
		t.Error("an empty directory stays")
	}
}

// TestDeepening fetches the rest of a shallow history, also in a view.
func TestDeepening(t *testing.T) {
	for _, odd := range []bool{false, true} {
		r, repo, tip := mirrored(t)
		repo.Dir = filepath.Join(t.TempDir(), "shallow.git")
		if out, err := origin.Command("clone", "--quiet", "--mirror", "--depth=1", "file://"+r.Dir, repo.Dir).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		config := emptyConfigs[40]
		if odd {
			config += "[x]\n\ty = z\n"
		}
		if err := os.WriteFile(repo.Dir+"/config", []byte(config), 0o644); err != nil {
			t.Fatal(err)
		}
		if !repo.IsShallow() || repo.isOurs() == odd {
			t.Fatalf("odd=%v: it is not what it is meant to be", odd)
		}
		if _, err := repo.Fetch(t.Context(), Remote{URL: r.Dir}, []string{tip}, FetchMode{Deepen: true}, nil); err != nil {
			t.Fatal(err)
		}
		if repo.IsShallow() {
			t.Errorf("odd=%v: it is still shallow", odd)
		}
		if n := r.Git("--git-dir="+repo.Dir, "rev-list", "--count", "main"); n != "3" {
			t.Errorf("odd=%v: it has %s commits", odd, n)
		}
	}
}

// TestStampOfNestedRefs: the stamp shows a change in every directory below refs/.
func TestStampOfNestedRefs(t *testing.T) {
	_, repo, tip := mirrored(t)
	path := repo.Dir + "/refs/heads/feature/deep/x"
	write := func() {
		t.Helper()
		if err := errors.Join(os.WriteFile(path+".lock", []byte(tip+"\n"), 0o644), os.Rename(path+".lock", path)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	write()
	before := repo.Stamp()
	if repo.Stamp() != before {
		t.Error("it differs without a reason")
	}
	time.Sleep(10 * time.Millisecond) // the clock for the times of files is coarse
	write()
	if repo.Stamp() == before {
		t.Error("it does not tell of a nested branch")
	}
}

// TestLockOfPackedRefs: a writer waits for the lock as long as git does.
func TestLockOfPackedRefs(t *testing.T) {
	_, repo, _ := mirrored(t)
	lock := repo.Dir + "/packed-refs.lock"
	if err := os.WriteFile(lock, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := repo.WriteRefs(nil); !errors.Is(err, os.ErrExist) || time.Since(began) < lockPatience {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		time.AfterFunc(lockPatience/4, func() { _ = os.Remove(lock) })
		if err := repo.WriteRefs(nil); err != nil {
			t.Error(err)
		}
	})
}

// TestChecksBelieveNoPromises: an object that a remote has promised is still missing.
func TestChecksBelieveNoPromises(t *testing.T) {
	_, repo, _ := mirrored(t)
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	r.Commit("main", map[string]string{"file": "1"})
	r.Git("config", "uploadpack.allowFilter", "true")
	repo.Dir = filepath.Join(t.TempDir(), "partial.git")
	if out, err := origin.Command("clone", "--quiet", "--mirror", "--filter=blob:none", "file://"+r.Dir, repo.Dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	damage, _, err := repo.Check(t.Context())
	if err != nil || damage == nil || !strings.Contains(damage.Error(), "missing blob") {
		t.Errorf("a check finds %v (%v)", damage, err)
	}
	if damage, err := repo.Connected(t.Context(), []string{r.Git("rev-parse", "main")}); err != nil || damage == nil {
		t.Errorf("a look finds %v (%v)", damage, err)
	}
}

// BenchmarkInventory is the cost of the inventory for a pull with nothing new.
func BenchmarkInventory(b *testing.B) {
	dir := b.TempDir()
	if err := os.MkdirAll(dir+"/objects/pack", 0o755); err != nil {
		b.Fatal(err)
	}
	for i := range 48 {
		for _, ext := range []string{".pack", ".idx", ".rev"} {
			if err := os.WriteFile(filepath.Join(dir, "objects", "pack", "pack-"+strings.Repeat("a", i)+ext), []byte("x"), 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
	repo := New(Options{}).Repo(dir)
	for b.Loop() {
		all, err := repo.Inventory()
		if err != nil || len(all) != 96 {
			b.Fatal(all, err)
		}
		_ = all.Digest()
	}
}

// TestHasStamp: a stamp holds until somebody changes what it stands for.
func TestHasStamp(t *testing.T) {
	write := func(name, text string) func(dir string) error {
		return func(dir string) error {
			path := filepath.Join(dir, name)
			return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path+".lock", []byte(text), 0o644), os.Rename(path+".lock", path))
		}
	}
	pack := func(dir string) string {
		packs, err := filepath.Glob(filepath.Join(dir, "objects", "pack", "*.pack"))
		if err != nil || len(packs) != 1 {
			t.Fatal(packs, err)
		}
		return packs[0]
	}
	_, model, _ := mirrored(t)
	if _, err := model.PackRefs(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what           string
		change         func(dir string) error
		refs, contents bool // whether their stamp changes
	}{
		{"nothing", func(string) error { return nil }, false, false},
		{"HEAD", write("HEAD", "ref: refs/heads/other\n"), true, false},
		{"packed-refs", write("packed-refs", "# pack-refs with: peeled fully-peeled sorted\n"), true, false},
		{"no packed-refs", func(dir string) error { return os.Remove(filepath.Join(dir, "packed-refs")) }, true, false},
		{"a branch", write("refs/heads/by-hand", "x"), true, false},
		{"a nested branch", write("refs/heads/by/hand", "x"), true, false},
		{"another kind of ref", write("refs/notes/x", "x"), true, false},
		{"no refs", func(dir string) error { return os.Rename(filepath.Join(dir, "refs"), filepath.Join(dir, "away")) }, true, false},
		{"a pack", write("objects/pack/pack-1.pack", "x"), false, true},
		{"a cut pack", func(dir string) error { return os.Truncate(pack(dir), 20) }, false, true},
		{"no pack", func(dir string) error { return os.Remove(pack(dir)) }, false, true},
		{"a borrowed pack", write("objects/info/alternates", "../../elsewhere\n"), false, true},
		{"a cut history", write("shallow", "x"), false, true},
		{"grafts", write("info/grafts", "x"), false, true},
		{"the config", write("config", "[core]\nbare = true\n"), false, false},
	} {
		repo := model.git.Repo(t.TempDir())
		if err := os.CopyFS(repo.Dir, os.DirFS(model.Dir)); err != nil {
			t.Fatal(err)
		}
		refs := repo.Stamp()
		inventory, contents, err := repo.StampedInventory()
		if err != nil || !repo.HasStamp(refs) || !repo.HasStamp(contents) {
			t.Fatalf("the stamps %q and %q do not hold, %v", refs, contents, err)
		}
		time.Sleep(10 * time.Millisecond) // the clock for the times of files is coarse
		if err := c.change(repo.Dir); err != nil {
			t.Fatal(err)
		}
		if repo.HasStamp(refs) == c.refs || (repo.Stamp() == refs) == c.refs {
			t.Errorf("%s: the stamp of the refs holds: %v", c.what, repo.HasStamp(refs))
		}
		if repo.HasStamp(contents) == c.contents {
			t.Errorf("%s: the stamp of the inventory holds: %v", c.what, repo.HasStamp(contents))
		}
		if now, _ := repo.Inventory(); now.Digest() != inventory.Digest() && repo.HasStamp(contents) {
			t.Errorf("%s: the inventory has changed, and its stamp holds", c.what)
		}
	}
	if model.HasStamp("") {
		t.Error("no stamp holds")
	}
}

// TestStampOfBorrowedPacks: packs of other repositories are looked at too.
func TestStampOfBorrowedPacks(t *testing.T) {
	_, lender, _ := mirrored(t)
	_, repo, _ := mirrored(t)
	if err := os.WriteFile(filepath.Join(repo.Dir, "objects", "info", "alternates"), []byte(lender.Dir+"/objects\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	inventory, stamp, err := repo.StampedInventory()
	if err != nil || len(inventory) != 4 || !repo.HasStamp(stamp) {
		t.Fatalf("%v, %v", inventory, err)
	}
	packs, err := filepath.Glob(filepath.Join(lender.Dir, "objects", "pack", "*.pack"))
	if err == nil {
		err = os.Truncate(packs[0], 20)
	}
	if err != nil || repo.HasStamp(stamp) {
		t.Errorf("a borrowed pack was cut, and the stamp holds: %v", err)
	}
}
