package tests

import (
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// cutEvery is the distance in bytes between two places where a stream is hurt.
const cutEvery = 512

// TestCut hurts the stream of an origin at many places: it ends there, or a byte is
// another one, or nothing more comes. The refs are then the old ones or the new
// ones, all of them, and the next pull puts everything right. The long form takes
// every 512th byte, the short one a sample.
func TestCut(t *testing.T) {
	t.Parallel()
	for transport, serve := range map[string]func(root string) string{
		"http": func(root string) string { return origin.ServeHTTP(t, root).URL },
		"git":  func(root string) string { return origin.ServeGit(t, root) },
	} {
		root := t.TempDir()
		base := serve(root)
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			o := &cutOrigin{Repo: origin.New(t, filepath.Join(root, "r.git"))}
			o.grow()
			p := origin.NewProxy(t, base)
			scheme, _, _ := strings.Cut(base, "://")
			url := scheme + "://" + p.Addr + "/r.git"
			// A stall is noticed soon, and what a GET starts is not in the way.
			d := start(t, `list_timeout = "1s"`, `fetch_timeout = "2s"`, `retry = "1h"`)
			c := &cutter{t: t, d: d, o: o, p: p, url: url}

			c.name = "measured"
			c.pulled()
			size := p.Bytes()
			c.all("clone", size, func() { c.name = fmt.Sprintf("m%d", c.runs) })

			c.name = "f"
			c.pulled()
			o.grow()
			c.pulled()
			size = p.Bytes()
			c.all("fetch", size, o.grow)
			d.fsck("f")
			d.cleanSoon()
			t.Logf("%d pulls, of which %d failed, and %d were misled", c.runs, c.failed, c.misled)
			if c.failed == 0 {
				t.Error("nothing was hurt")
			}
		})
	}
}

// cutOrigin is a repository that changes in each round: new commits on some branches,
// a forced push, a tag, and a branch that goes.
type cutOrigin struct {
	*origin.Repo
	round int
}

func (o *cutOrigin) grow() {
	o.round++
	files := make(map[string]string)
	for i := range 8 {
		files[fmt.Sprintf("dir/f%d", i)] = fmt.Sprintf("%d %d %s", o.round, i, noise(o.round*8+i, shortOrLong(400, 4000)))
	}
	tip := o.Commit("main", files)
	var updates strings.Builder
	for i := range 6 {
		fmt.Fprintf(&updates, "update refs/heads/b%d %s\n", i, tip)
	}
	fmt.Fprintf(&updates, "update refs/heads/only%d %s\nupdate refs/tags/t%d %s\n", o.round, tip, o.round%5, tip)
	if o.round > 1 {
		fmt.Fprintf(&updates, "delete refs/heads/only%d\n", o.round-1)
	}
	o.GitIn(updates.String(), "update-ref", "--stdin")
	o.Git("symbolic-ref", "HEAD", fmt.Sprintf("refs/heads/b%d", o.round%6))
}

// noise is text that does not compress.
func noise(seed, size int) string {
	b := make([]byte, size)
	x := uint32(seed*2654435761 + 1)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = 'a' + byte(x%26)
	}
	return string(b)
}

type cutter struct {
	t    *testing.T
	d    *daemon
	o    *cutOrigin
	p    *origin.Proxy
	url  string
	name string // of the mirror

	runs, failed int
	misled       int // by a damaged name
}

var acts = map[origin.Act]string{origin.Cut: "cut", origin.Flip: "flipped", origin.Stall: "stalled"}

// all hurts the stream at every place and in every way, or a sample of that.
func (c *cutter) all(what string, size int64, prepare func()) {
	c.t.Helper()
	type hurt struct {
		at  int64
		act origin.Act
	}
	var hurts []hurt
	for at := int64(0); at < size; at += cutEvery {
		for act := range acts {
			hurts = append(hurts, hurt{at, act})
		}
	}
	if !soak() {
		random := seeded(c.t)
		random.Shuffle(len(hurts), func(i, j int) { hurts[i], hurts[j] = hurts[j], hurts[i] })
		hurts = hurts[:min(len(hurts), 8)]
	}
	for _, h := range hurts {
		c.runs++
		prepare()
		c.hurt(fmt.Sprintf("%s, %s at byte %d of %d", what, acts[h.act], h.at, size), origin.Fault{At: h.at, Then: h.act})
		if c.t.Failed() {
			c.t.FailNow()
		}
	}
}

// hurt pulls through a fault, and then without one.
func (c *cutter) hurt(what string, f origin.Fault) {
	c.t.Helper()
	t, d := c.t, c.d
	old := ""
	if exists(d.mirror(c.name)) {
		old = refs(t, d.mirror(c.name)) + head(t, d.mirror(c.name))
	}
	c.p.Set(f)
	a := d.post(c.name, c.url)
	c.p.Set(origin.Fault{Refuse: true}) // a GET is to show what there is
	c.p.HangUp()
	now := ""
	if exists(d.mirror(c.name)) {
		now = refs(t, d.mirror(c.name)) + head(t, d.mirror(c.name))
	}
	want := refs(t, c.o.Dir) + head(t, c.o.Dir)
	switch {
	case a.StatusCode == http.StatusOK && now == want: // it was not hurt enough
	case a.StatusCode == http.StatusInternalServerError && now == old:
		c.failed++
	case a.StatusCode == http.StatusOK && f.Then == origin.Flip && damagedName(now, want):
		c.misled++
	default:
		t.Errorf("%s: %s\n%s\nbefore:\n%s\nnow:\n%s\nthe origin:\n%s", what, a.Status, a.text(), old, now, want)
	}
	if now != "" {
		d.fsck(c.name)
		served := d.get("/" + c.name)
		if tip := lastRevision(t, now); served.StatusCode != 200 || served.err != nil || served.Header.Get("X-Revision") != tip {
			t.Errorf("%s: served is %s %s, on disk is %s", what, served.Status, served.Header.Get("X-Revision"), tip)
		}
	}
	c.pulled()
	if now := refs(t, d.mirror(c.name)) + head(t, d.mirror(c.name)); now != want {
		t.Errorf("after %s the next pull made\n%s\nof the origin's\n%s", what, now, want)
	}
	d.get("/"+c.name).expect(t, 200, "X-State", "success", "X-Revision", c.o.Git("rev-parse", "HEAD"))
	d.fsck(c.name)
}

// pulled pulls without a fault. On a busy machine that may take longer than the daemon waits
// for a stream that stalls; then, and only then, it is tried again.
func (c *cutter) pulled() {
	c.t.Helper()
	var a answer
	ok := within(patient, func() bool {
		c.p.Set(origin.Fault{})
		a = c.d.post(c.name, c.url)
		return a.StatusCode != http.StatusInternalServerError || !tooSlow.MatchString(a.text())
	})
	if !ok || a.StatusCode != http.StatusOK {
		c.t.Fatalf("POST %s %s: %s\n%s", c.name, c.url, a.Status, a.text())
	}
}

var tooSlow = regexp.MustCompile(`did not answer within|took longer than`)

// damagedName reports whether one name is another one, in the refs, in HEAD or in both.
// Over http:// and git:// nothing protects the list of refs, as a checksum does a pack,
// and nobody can tell a name that was changed on the way from a new one. A damaged id
// is no id.
func damagedName(now, want string) bool {
	count := func(from, in string) (missing int) {
		for line := range strings.Lines(from) {
			if !strings.HasPrefix(line, "ref: ") && !strings.Contains("\n"+in, "\n"+line) {
				missing++
			}
		}
		return missing
	}
	return now != "" && count(now, want) <= 1 && count(want, now) <= 1
}

func head(t *testing.T, dir string) string { return read(t, filepath.Join(dir, "HEAD")) }

// lastRevision finds the default branch's commit in what refs and head show together.
func lastRevision(t *testing.T, state string) string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(state), "\n")
	branch := strings.TrimPrefix(lines[len(lines)-1], "ref: ")
	for _, line := range lines {
		if id, ok := strings.CutPrefix(line, branch+" "); ok {
			return id
		}
	}
	t.Fatalf("no default branch in\n%s", state)
	return ""
}
