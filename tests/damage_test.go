package tests

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// removePacks takes a mirror's objects away.
func (d *daemon) removePacks(name string) {
	d.t.Helper()
	packs, err := filepath.Glob(d.mirror(name) + "/objects/pack/*")
	if err != nil || len(packs) == 0 {
		d.t.Fatalf("no packs: %v", err)
	}
	for _, path := range packs {
		if err := os.Remove(path); err != nil {
			d.t.Fatal(err)
		}
	}
}

// TestHealingWhenTheOriginHasNews: git fails then while it fetches, and not because of
// the origin.
func TestHealingWhenTheOriginHasNews(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t)
	d.pulled("m", r.Dir)
	commit := r.Commit("main", map[string]string{"file": "2"})
	d.removePacks("m")
	d.pulled("m", r.Dir)
	d.get("/m").expect(t, 200, "X-Revision", commit, "X-State", "success")
	d.fsck("m")
}

// spoil changes some bytes of an object in a mirror's packs.
func (d *daemon) spoil(name, id string) {
	d.t.Helper()
	indexes, err := filepath.Glob(d.mirror(name) + "/objects/pack/*.idx")
	if err != nil {
		d.t.Fatal(err)
	}
	for _, index := range indexes {
		out, err := origin.Command("verify-pack", "-v", index).CombinedOutput()
		if err != nil {
			d.t.Fatalf("%v\n%s", err, out)
		}
		// Id, type, size, size in the pack, offset.
		found := regexp.MustCompile(`(?m)^` + id + ` \S+ +\d+ \d+ (\d+)`).FindStringSubmatch(string(out))
		if found == nil {
			continue
		}
		pack := strings.TrimSuffix(index, "idx") + "pack"
		text := []byte(read(d.t, pack))
		for i := range 3 {
			text[mustAtoi(d.t, found[1])+4+i] ^= 0xff
		}
		if err := os.Remove(pack); err != nil { // which is read-only, and may be mapped
			d.t.Fatal(err)
		}
		if err := os.WriteFile(pack, text, 0o444); err != nil {
			d.t.Fatal(err)
		}
		return
	}
	d.t.Fatalf("%s is in no pack of %q", id, indexes)
}

// TestDamageThatMakesFetchesFail: git says then that the origin did not send all, or that
// it cannot read what is here.
func TestDamageThatMakesFetchesFail(t *testing.T) {
	t.Parallel()
	r, server, url := served(t)
	peer := start(t)
	d, helped := start(t), start(t, peers(peer.url))
	for _, d := range []*daemon{peer, d, helped} {
		d.pulled("m", url)
		if d != peer {
			d.spoil("m", r.Git("rev-parse", "main"))
		}
	}
	commit := r.Commit("main", map[string]string{"file": "2"})
	peer.pulled("m", url)
	d.pulled("m", url)
	d.get("/m").expect(t, 200, "X-Revision", commit, "X-State", "success")
	d.fsck("m")

	// With the origin down, the peer has to do.
	server.Close()
	helped.post("m", url).expect(t, 500).contains(t, "what peer ")
	helped.get("/m").expect(t, 200, "X-Revision", commit, "X-State", "failed")
	helped.fsck("m")
}

// TestDamageWithoutHelp is not looked at for each client.
func TestDamageWithoutHelp(t *testing.T) {
	t.Parallel()
	_, server, url := served(t)
	d := start(t, `retry = "1m"`)
	d.pulled("m", url)
	d.removePacks("m")
	server.Close()
	clone := filepath.Join(t.TempDir(), "clone")
	for range 10 {
		if origin.Command("clone", "--quiet", "--bare", d.url+"/m", clone).Run() == nil {
			t.Fatal("cloned what is not there")
		}
	}
	d.wait("the mirror is damaged")
	if n := strings.Count(d.log.String(), "can't pull"); n > 2 {
		t.Errorf("pulled %d times", n)
	}
}

// TestUnreadableWithoutItsOrigin: the origin of a mirror that cannot be read is known all the same, so that
// a peer can help.
func TestUnreadableWithoutItsOrigin(t *testing.T) {
	t.Parallel()
	r, server, url := served(t)
	peer, d := start(t), start(t)
	d.pulled("m", url)
	commit := r.Commit("main", map[string]string{"file": "2"})
	peer.pulled("m", url)
	d.stop()
	write(t, d.mirror("m")+"/packed-refs", read(t, d.mirror("m")+"/packed-refs")+"garbage\n")
	server.Close()
	d.run()
	d.wait("(?s)ERROR can't pull mirror=m.*Failed to connect") // without a request
	d.logged("no origin", 0)
	d.stop()
	d.configure(peers(peer.url))
	d.run()
	eventually(t, "what the peer has is here", func() bool { return d.get("/m").Header.Get("X-Revision") == commit })
	d.fsck("m")
}

// TestLossesOfADamagedMirror: what the origin takes away while a mirror is damaged
// elsewhere is kept, as if nothing were damaged.
func TestLossesOfADamagedMirror(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	first := r.Git("rev-parse", "main")
	second := r.Commit("main", map[string]string{"file": "2"})
	deleted := r.Commit("deleted", map[string]string{"file": "d"}) // without a common history
	replaced := r.Commit("replaced", map[string]string{"file": "r"})
	r.Git("branch", "merged", first)
	r.Git("branch", "forward", first)
	r.Git("-c", "user.name=T", "-c", "user.email=t@example.org", "tag", "-a", "-m", "words", "tag", deleted)
	tag := r.Git("rev-parse", "tag")
	broken := r.Commit("broken", map[string]string{"file": "b"})
	d := start(t)
	d.pulled("m", r.Dir)

	r.Git("update-ref", "-d", "refs/heads/deleted")
	r.Git("update-ref", "-d", "refs/heads/merged")
	r.Git("update-ref", "-d", "refs/tags/tag")
	r.Git("update-ref", "refs/heads/replaced", second)
	r.Git("update-ref", "refs/heads/forward", second)
	d.spoil("m", broken)
	r.Commit("broken", map[string]string{"file": "next"})
	d.pulled("m", r.Dir)
	d.wait("a damaged mirror is rebuilt")
	want := fmt.Sprintf("heads/deleted %s\nheads/merged %s\nheads/replaced %s\ntags/tag %s\n", deleted, first, replaced, tag)
	if got := d.kept("m"); got != want {
		t.Errorf("kept are:\n%swant\n%s", got, want)
	}
	for _, id := range []string{deleted, replaced} {
		d.get("/m?ref="+id).expect(t, 200)
	}
	if got, want := refs(t, d.mirror("m")), refs(t, r.Dir); got != want {
		t.Errorf("the mirror has\n%sthe origin\n%s", got, want)
	}
	if trash := d.own("trash"); len(trash) != 0 {
		t.Errorf("nothing was lost, and in the trash is %q", trash)
	}
	d.fsck("m")
}

// TestOriginsThatAreDownAreNoDamage: git's last words then are that it could not read, but
// they are about the origin.
func TestOriginsThatAreDownAreNoDamage(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := prepare(t)
	calls := d.countGit()
	d.run()
	d.pulled("m", r.Dir)
	if err := os.Rename(r.Dir, r.Dir+".away"); err != nil {
		t.Fatal(err)
	}
	before := calls()
	d.post("m", r.Dir).expect(t, 500).contains(t, "Could not read from remote repository")
	if n := calls() - before; n != 1 {
		t.Errorf("git was called %d times, to ask for the origin's refs", n)
	}
}

// TestUnreadableMirrorsKeepWhatTheyHave: what can be read of a mirror's refs counts, also
// where the mirror as a whole cannot be read.
func TestUnreadableMirrorsKeepWhatTheyHave(t *testing.T) {
	t.Parallel()
	const many = 20
	for _, c := range []struct {
		what    string
		head    bool   // HEAD is still there
		more    string // stands at the end of packed-refs
		wiped   bool   // packed-refs has become empty
		gone    int    // so many branches are gone at the origin, the last of which is main
		refused string // what the answer says
		spared  bool   // the old mirror lies in the trash then
	}{
		{what: "no HEAD"},
		{what: "no HEAD, an empty origin", gone: many + 1, refused: "the origin is empty, and the mirror has 21 refs"},
		{what: "garbage", head: true, more: "garbage\n", spared: true},
		{what: "garbage, most are gone", head: true, more: "garbage\n", gone: many, refused: "the origin dropped 20 of 21 refs at once", spared: true},
		{what: "an object is gone", more: strings.Repeat("1", 40) + " refs/notes/x\n", spared: true},
		{what: "nothing can be read", wiped: true, spared: true},
		{what: "nothing can be read, an empty origin", wiped: true, gone: many + 1, refused: "the origin is empty, and what the mirror had cannot be read", spared: true},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			r := newOrigin(t)
			lost := r.Commit("lost", map[string]string{"file": "lost"})
			r.Git("-c", "user.name=T", "-c", "user.email=t@example.org", "tag", "-a", "-m", "words", "tag", lost)
			for i := range many {
				r.Git("branch", fmt.Sprint("b", i), "main")
			}
			d := start(t)
			d.pulled("m", r.Dir)
			r.Git("update-ref", "-d", "refs/heads/lost")
			r.Git("update-ref", "-d", "refs/tags/tag")
			d.pulled("m", r.Dir)
			kept := d.kept("m")
			d.stop()
			packed := read(t, d.mirror("m")+"/packed-refs") + c.more
			if c.wiped {
				packed = ""
			}
			if err := os.WriteFile(d.mirror("m")+"/packed-refs", []byte(packed), 0o644); err != nil {
				t.Fatal(err)
			}
			if !c.head {
				if err := os.Remove(d.mirror("m") + "/HEAD"); err != nil {
					t.Fatal(err)
				}
			}
			before := tree(t, d.mirror("m"))
			for i := range c.gone {
				name := fmt.Sprint("b", i)
				if i == many {
					name = "main"
				}
				r.Git("update-ref", "-d", "refs/heads/"+name)
			}
			d.run()
			if c.refused != "" {
				d.wait(c.refused) // without a request
				d.post("m", r.Dir).expect(t, 500).contains(t, c.refused, "accept=deletions")
				if log := d.log.String(); strings.Contains(log, "rebuil") {
					t.Errorf("nothing is rebuilt, but:\n%s", log)
				}
				if after := tree(t, d.mirror("m")); after != before {
					t.Errorf("the mirror was\n%snow it is\n%s", before, after)
				}
				d.pulled("m", r.Dir, "accept", "deletions")
			}
			d.pulled("m", r.Dir)
			if got, want := refs(t, d.mirror("m")), refs(t, r.Dir); got != want {
				t.Errorf("the mirror has\n%sthe origin\n%s", got, want)
			}
			if !c.wiped {
				for line := range strings.Lines(kept) {
					if got := d.kept("m"); !strings.Contains(got, line) {
						t.Errorf("kept are\n%snot\n%s", got, line)
					}
				}
				if c.gone <= many { // else it is empty
					d.get("/m?ref="+lost).expect(t, 200)
				}
				if out, err := origin.Command("--git-dir="+d.mirror("m"), "pack-refs", "--all").CombinedOutput(); err != nil {
					t.Errorf("%v\n%s", err, out)
				}
				if packed := read(t, d.mirror("m")+"/packed-refs"); !strings.Contains(packed, "/tags/tag\n^"+lost+"\n") {
					t.Errorf("it is not known what the tag leads to:\n%s", packed)
				}
			}
			if trash := d.own("trash"); (len(trash) == 1) != c.spared {
				t.Errorf("in the trash is %q", trash)
			}
			d.fsck("m")
		})
	}
}

// TestBrokenBitmaps are not noticed by git's own check, and mended without the origin.
func TestBrokenBitmaps(t *testing.T) {
	t.Parallel()
	r, server, url := served(t)
	for i := range 20 {
		r.Commit("main", map[string]string{fmt.Sprint("file", i): "x"})
	}
	d := start(t, "maintenance = false")
	d.pulled("m", url)
	before := d.identity("m")
	server.Close()
	clone := func(from string) bool {
		return origin.Command("clone", "--quiet", "--bare", from, filepath.Join(t.TempDir(), "clone")).Run() == nil
	}
	breakBitmap := func() {
		t.Helper()
		if out, err := origin.Command("--git-dir="+d.mirror("m"), "repack", "-adq", "--write-midx", "--write-bitmap-index").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		found, err := filepath.Glob(d.mirror("m") + "/objects/pack/*.bitmap")
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		whole := []byte(read(t, found[0]))
		for at := 32; at < len(whole); at++ { // behind the header
			text := slices.Clone(whole)
			text[at] ^= 0xff
			if err := errors.Join(os.Remove(found[0]), os.WriteFile(found[0], text, 0o444)); err != nil {
				t.Fatal(err)
			}
			if !clone("file://" + d.mirror("m")) {
				return
			}
		}
		t.Fatal("no broken bitmap does harm")
	}
	breakBitmap()
	d.fsck("m")
	if clone(d.url + "/m") {
		t.Fatal("cloned with a broken bitmap")
	}
	d.wait(`removed broken files that git can do without mirror=m files=pack/multi-pack-index-\w+.bitmap`)
	if !clone(d.url + "/m") {
		t.Error("can't clone")
	}

	breakBitmap()
	d.reload("maintenance = false", `check = "2s"`)
	d.wait(`(?s)(removed broken files.*){2}INFO checked mirror=m`)
	if !clone(d.url + "/m") {
		t.Error("can't clone after a check")
	}
	if d.identity("m") != before || strings.Contains(d.log.String(), "damaged") {
		t.Errorf("the mirror was rebuilt:\n%s", d.log)
	}
}
