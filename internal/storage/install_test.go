package storage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testDir is a storage, and the name of a mirror in it.
type testDir struct {
	*Dir
	t    *testing.T
	name Name
}

func openTest(t *testing.T, dir string) *testDir {
	t.Helper()
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &testDir{s, t, Name{"a/m"}}
}

func (d *testDir) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// fill makes a directory look like a mirror with this text in it.
func (d *testDir) fill(dir, text string) {
	d.t.Helper()
	d.must(os.MkdirAll(dir, 0o755))
	d.must(os.WriteFile(filepath.Join(dir, StateFile), []byte(text), 0o600))
}

// build creates a mirror in a staging directory.
func (d *testDir) build(text string) (staging string) {
	d.t.Helper()
	staging, err := d.Staging()
	d.must(err)
	d.fill(staging, text)
	return staging
}

// installed puts a mirror in its place, and returns its identity.
func (d *testDir) installed(text string) Identity {
	d.t.Helper()
	_, err := d.Install(d.build(text), d.name, Identity{})
	d.must(err)
	return d.identity()
}

func (d *testDir) identity() Identity {
	d.t.Helper()
	id, err := Identify(d.MirrorDir(d.name))
	d.must(err)
	return id
}

// byHand replaces the mirror's directory, as an operator does.
func (d *testDir) byHand(text string) {
	d.t.Helper()
	d.must(os.RemoveAll(d.MirrorDir(d.name)))
	if text != "" {
		d.fill(d.MirrorDir(d.name), text)
	}
}

// here checks which mirror is in its place, and which ones are in the trash.
func (d *testDir) here(mirror string, trash ...string) {
	d.t.Helper()
	text, err := os.ReadFile(filepath.Join(d.MirrorDir(d.name), StateFile))
	if err != nil && mirror != "" || string(text) != mirror {
		d.t.Errorf("the mirror is %q (%v), not %q", text, err, mirror)
	}
	var kept []string
	entries, err := os.ReadDir(d.Own("trash"))
	d.must(err)
	for _, entry := range entries {
		text, err := os.ReadFile(d.Own(filepath.Join("trash", entry.Name(), "mirror", StateFile)))
		d.must(err)
		if _, ok := discardedAt(entry.Name()); !ok { // it is never removed
			text = append(text, '!')
		}
		kept = append(kept, string(text))
	}
	if strings.Join(kept, " ") != strings.Join(trash, " ") {
		d.t.Errorf("in the trash are %q, not %q", kept, trash)
	}
}

// TestInstall replaces a mirror, in one step or, as on other file systems, in several, and
// stops after each of them as after a power failure.
func TestInstall(t *testing.T) {
	aside := func(d *testDir) string {
		path := filepath.Join(d.Own("replaced"), d.name.Path())
		d.must(os.MkdirAll(filepath.Dir(path), 0o700))
		return path
	}
	for _, c := range []struct {
		what, here, trash string // after the next start
		install           func(d *testDir, staging string)
	}{
		{"in one step", "new", "old", func(d *testDir, staging string) {
			_, err := d.Install(staging, d.name, d.identity())
			d.must(err)
		}},
		{"and the old one is not to be kept", "new", "", func(d *testDir, staging string) {
			old, err := d.Install(staging, d.name, d.identity())
			d.must(err)
			d.must(d.Discard(old))
		}},
		{"when nothing was built", "old", "", func(d *testDir, staging string) {
			d.must(os.RemoveAll(staging))
			if _, err := d.Install(staging, d.name, d.identity()); err == nil {
				t.Error("put in place what is not there")
			}
		}},
		{"in several", "new", "", func(d *testDir, staging string) { d.must(d.exchangeInSteps(staging, d.name)) }},
		{"after the first", "old", "", func(d *testDir, _ string) { d.must(os.Rename(d.MirrorDir(d.name), aside(d))) }},
		{"after the second", "new", "old!", func(d *testDir, staging string) {
			d.must(os.Rename(d.MirrorDir(d.name), aside(d)))
			d.must(os.Rename(staging, d.MirrorDir(d.name)))
		}},
		{"when the new one is gone", "old", "", func(d *testDir, staging string) {
			d.must(os.RemoveAll(staging))
			if d.exchangeInSteps(staging, d.name) == nil {
				t.Error("put in place what is not there")
			}
		}},
		{"when somebody's came after the first", "theirs", "old!", func(d *testDir, _ string) {
			d.must(os.Rename(d.MirrorDir(d.name), aside(d)))
			d.fill(d.MirrorDir(d.name), "theirs")
		}},
		{"when somebody is about to copy in after the first", "", "old!", func(d *testDir, _ string) {
			d.must(os.Rename(d.MirrorDir(d.name), aside(d)))
			d.must(os.Mkdir(d.MirrorDir(d.name), 0o755))
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			dir := t.TempDir()
			d := openTest(t, dir)
			d.installed("old")
			c.install(d, d.build("new"))
			d.must(d.Close())
			d = openTest(t, dir)
			d.must(d.RemoveLeftovers())
			d.here(c.here, strings.Fields(c.trash)...)
			for _, sub := range []string{"incoming", "replaced"} {
				if left, err := os.ReadDir(d.Own(sub)); err != nil && !os.IsNotExist(err) || len(left) > 0 {
					t.Errorf("in %s is %v (%v)", sub, left, err)
				}
			}
		})
	}
}

// TestInstallLeavesOtherMirrors: a mirror that was built replaces no mirror but the one that it
// was built for.
func TestInstallLeavesOtherMirrors(t *testing.T) {
	for _, c := range []struct {
		what  string
		first bool           // there is no mirror at first
		hand  func(*testDir) // meanwhile
		want  error
		here  string
	}{
		{"a mirror where there was none", true, func(d *testDir) { d.byHand("theirs") }, ErrTaken, "theirs"},
		{"an empty directory where there was none", true, func(d *testDir) { d.must(os.MkdirAll(d.MirrorDir(d.name), 0o755)) }, ErrTaken, ""},
		{"a file where there was nothing", true, func(d *testDir) {
			d.must(os.MkdirAll(filepath.Dir(d.MirrorDir(d.name)), 0o755))
			d.must(os.WriteFile(d.MirrorDir(d.name), nil, 0o644))
		}, ErrTaken, ""},
		{"a mirror around it", true, func(d *testDir) { d.fill(filepath.Join(d.Path, "a"), "theirs") }, nil, ""},
		{"another mirror", false, func(d *testDir) { d.byHand("theirs") }, ErrReplaced, "theirs"},
		{"nothing any more", false, func(d *testDir) { d.byHand("") }, ErrReplaced, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			d := openTest(t, t.TempDir())
			var meant Identity
			if !c.first {
				meant = d.installed("old")
			}
			c.hand(d)
			staging := d.build("new")
			_, err := d.Install(staging, d.name, meant)
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			d.here(c.here)
			if _, err := os.Stat(staging); err != nil && c.first {
				t.Errorf("what was built is not where it goes from: %v", err)
			}
		})
	}
}

// TestPutBack: the mirror's place changes between the check and the exchange.
func TestPutBack(t *testing.T) {
	for _, c := range []struct {
		what, here, kept string
		hand             func(d *testDir) // after the exchange
	}{
		{"and nothing more", "theirs", "", func(*testDir) {}},
		{"and the new one was removed", "theirs", "", func(d *testDir) { d.byHand("") }},
		{"and the new one was replaced again", "theirs", "third!", func(d *testDir) { d.byHand("third") }},
	} {
		t.Run(c.what, func(t *testing.T) {
			d := openTest(t, t.TempDir())
			d.installed("old")
			d.byHand("theirs")
			trash, err := d.trashDir("", d.name, time.Now())
			d.must(err)
			displaced := filepath.Join(trash, "mirror")
			d.fill(displaced, "new")
			built, err := identifyEntry(displaced)
			d.must(err)
			d.must(d.exchange(displaced, d.name))
			c.hand(d)
			err = d.dropUnless(trash, d.name, built, errors.Join(ErrReplaced, d.putBack(displaced, d.name)))
			if !errors.Is(err, ErrReplaced) || strings.Contains(err.Error(), "is kept as .sould/trash/by-hand-") != (c.kept != "") {
				t.Errorf("got %v", err)
			}
			d.here(c.here, strings.Fields(c.kept)...)
		})
	}
}

// TestMoveTo moves a directory to where nothing is, with and without the help of the file
// system.
func TestMoveTo(t *testing.T) {
	for what, move := range map[string]func(from, to string) error{"in one step": moveTo, "in several": moveInSteps} {
		dir := t.TempDir()
		from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
		if err := errors.Join(os.MkdirAll(filepath.Join(from, "x"), 0o755), os.Mkdir(to, 0o755)); err != nil {
			t.Fatal(err)
		}
		if err := move(from, to); !isTaken(err) {
			t.Errorf("%s: an empty directory was replaced: %v", what, err)
		}
		if err := os.Remove(to); err != nil {
			t.Fatal(err)
		}
		if err := move(from, to); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if err := move(from, to+"2"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: moved what is not there: %v", what, err)
		}
		if _, err := os.Lstat(to + "2"); err == nil {
			t.Errorf("%s: something was left", what)
		}
	}
}

// TestMoveToTrashLeavesOtherMirrors: only the mirror that is meant is moved.
func TestMoveToTrashLeavesOtherMirrors(t *testing.T) {
	for _, c := range []struct{ what, here string }{{"another mirror", "theirs"}, {"nothing any more", ""}} {
		d := openTest(t, t.TempDir())
		meant := d.installed("old")
		d.byHand(c.here)
		if to, err := d.MoveToTrash(d.name, meant, time.Now()); !errors.Is(err, ErrReplaced) {
			t.Errorf("%s: moved to %q, %v", c.what, to, err)
		}
		d.here(c.here)
	}
}

// TestALinkIsAMirror: a mirror may be a link to another disk. Then the link is moved.
func TestALinkIsAMirror(t *testing.T) {
	d := openTest(t, t.TempDir())
	d.fill(filepath.Join(d.Path, "elsewhere"), "linked")
	link := func() {
		d.must(os.MkdirAll(filepath.Dir(d.MirrorDir(d.name)), 0o755))
		d.must(os.Symlink("../elsewhere", d.MirrorDir(d.name)))
	}
	link()
	to, err := d.MoveToTrash(d.name, d.identity(), time.Now())
	d.must(err)
	d.must(os.RemoveAll(filepath.Dir(to)))
	link()
	old, err := d.Install(d.build("new"), d.name, d.identity())
	d.must(err)
	d.must(d.Discard(old))
	d.here("new")
	if text, err := os.ReadFile(filepath.Join(d.Path, "elsewhere", StateFile)); string(text) != "linked" {
		t.Errorf("behind the link is %q (%v)", text, err)
	}
}

// TestCheckOwned: a storage is recognised by its identity, not by its path.
func TestCheckOwned(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "storage")
	d := openTest(t, dir)
	d.must(d.Check(t.Context()))
	d.must(os.Rename(dir, dir+".aside"))
	for _, how := range []string{"gone", "empty", "another one"} {
		switch how {
		case "empty":
			d.must(os.Mkdir(dir, 0o755))
		case "another one":
			d.must(os.Mkdir(filepath.Join(dir, ownDir), 0o700))
		}
		for what, err := range map[string]error{"owned": d.CheckOwned(), "expire": d.Expire(time.Now(), 0), "try": d.try()} {
			if !errors.Is(err, ErrLost) {
				t.Errorf("%s, %s: %v", how, what, err)
			}
		}
	}
	if left, err := os.ReadDir(d.Own("")); err != nil || len(left) > 0 {
		t.Errorf("another one's storage has %v (%v)", left, err)
	}
	d.must(os.RemoveAll(dir))
	d.must(os.Rename(dir+".aside", dir))
	d.must(d.CheckOwned())
}
