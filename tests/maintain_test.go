package tests

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// packs counts a mirror's packs.
func (d *daemon) packs(name string) int {
	d.t.Helper()
	found, err := filepath.Glob(filepath.Join(d.mirror(name), "objects", "pack", "*.pack"))
	if err != nil {
		d.t.Fatal(err)
	}
	return len(found)
}

// leftovers are what an interrupted git leaves behind in a mirror.
func (d *daemon) leftovers(name string) string {
	d.t.Helper()
	var found []string
	_ = filepath.WalkDir(d.mirror(name), func(path string, _ os.DirEntry, _ error) error {
		base := filepath.Base(path)
		if strings.Contains(base, "tmp") || strings.HasSuffix(base, ".lock") || strings.HasPrefix(base, "bitmap-ref-tips") {
			found = append(found, path)
		}
		return nil
	})
	return strings.Join(found, "\n")
}

// How many packs a mirror has that is pushed to without a pause, at most (some pulls may be
// faster than who repacks is woken up), and one that is left alone.
const mostPacks, fewPacks = 48 + 8, 12

// TestPushesLeaveFewPacks pushes without a pause while others archive and clone, and then
// leaves the mirror alone.
func TestPushesLeaveFewPacks(t *testing.T) {
	t.Parallel()
	const pushes = 60
	r := newOrigin(t)
	d := start(t)
	d.pulled("m", r.Dir)
	d.pulled("idle", r.Dir)

	var stop atomic.Bool
	var readers sync.WaitGroup
	defer readers.Wait()
	defer stop.Store(true)
	readers.Go(func() {
		for i := 0; !stop.Load(); i++ {
			if a, err := d.try("GET", fmt.Sprintf("/m?prefix=%d", i), nil); err != nil || a.StatusCode != 200 || a.err != nil {
				t.Errorf("an archive meanwhile: %v %v", err, a)
			}
		}
	})
	dir := t.TempDir()
	readers.Go(func() {
		for i := 0; !stop.Load(); i++ {
			to := filepath.Join(dir, fmt.Sprint(i))
			if out, err := origin.Command("clone", "--quiet", "--bare", "--no-local", d.mirror("m"), to).CombinedOutput(); err != nil {
				t.Errorf("a clone meanwhile: %v\n%s", err, out)
			}
			_ = os.RemoveAll(to)
		}
	})
	most := 0
	for i := range pushes {
		r.Commit("main", map[string]string{fmt.Sprint("f", i%7): fmt.Sprint(i)})
		d.pulled("m", r.Dir)
		most = max(most, d.packs("m"))
	}
	if most > mostPacks {
		t.Errorf("there were %d packs", most)
	}
	eventually(t, "few packs", func() bool { return d.packs("m") <= fewPacks })
	d.wait(`repacked mirror=m repack=full`) // what makes reading fast has been written
	stop.Store(true)
	readers.Wait()
	if found, _ := filepath.Glob(filepath.Join(d.mirror("m"), "objects", "pack", "*.bitmap")); len(found) != 1 {
		t.Errorf("bitmaps: %q", found)
	}
	if _, err := os.Stat(filepath.Join(d.mirror("m"), "objects", "info", "commit-graphs", "commit-graph-chain")); err != nil {
		t.Error(err)
	}
	eventually(t, "nothing left behind", func() bool { return d.leftovers("m") == "" })
	if got, want := refs(t, d.mirror("m")), refs(t, r.Dir); got != want {
		t.Errorf("the mirror has\n%sthe origin\n%s", got, want)
	}
	d.fsck("m")
	if strings.Contains(d.log.String(), "ERROR") || strings.Contains(d.log.String(), "mirror=idle repack") {
		t.Errorf("the log:\n%s", d.log)
	}
}

// TestALongRepack hinders nobody: a POST that finds nothing new leaves it alone, mirrors
// that need a quick one get it, and it gives way to what is to be written.
func TestALongRepack(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	hold, begun := filepath.Join(bin, "hold"), filepath.Join(bin, "begun")
	script := "#!/bin/sh\ncase \"$*\" in */long' repack '*) echo >>" + begun + "; while [ -e " + hold + " ]; do sleep 0.05; done;; esac\n" +
		"PATH=${PATH#*:} exec git \"$@\"\n"
	if err := errors.Join(os.WriteFile(filepath.Join(bin, "git"), []byte(script), 0o755), os.WriteFile(hold, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	times := func() int { text, _ := os.ReadFile(begun); return len(text) }
	r := newOrigin(t)
	d := prepare(t)
	d.env = append(d.env, "PATH="+bin+":"+os.Getenv("PATH"))
	d.run()
	push := func(name string, n int) {
		for i := range n {
			r.Commit("main", map[string]string{"f": name + fmt.Sprint(i)})
			d.pulled(name, r.Dir)
		}
	}
	push("long", fewPacks+1) // no push comes after the repack has begun
	eventually(t, "the repack has begun", func() bool { return times() > 0 })
	for range 5 {
		d.pulled("long", r.Dir).contains(t, "unchanged")
	}
	push("busy", 60)
	d.wait(`repacked mirror=busy repack=incremental`)
	if n := times(); n != 1 {
		t.Errorf("the repack was begun %d times", n)
	}
	push("long", 1)
	if err := os.Remove(hold); err != nil {
		t.Fatal(err)
	}
	d.wait(`repacked mirror=long`)
	if n := times(); n != 2 {
		t.Errorf("the repack was begun %d times", n)
	}
	for _, name := range []string{"long", "busy"} {
		d.fsck(name)
		eventually(t, "nothing left behind", func() bool { return d.leftovers(name) == "" })
	}
}

// TestAKilledRepackLeavesNothing kills the daemon at moments at which it repacks.
func TestAKilledRepackLeavesNothing(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	for i := range 40 {
		r.Commit("main", map[string]string{fmt.Sprint("f", i): noise(i, 200_000)}) // so that it takes a while
	}
	d := start(t)
	d.pulled("m", r.Dir)
	inTheMidst := 0
	for round := 0; round < 2 || inTheMidst == 0 && round < 8; round++ {
		for i := range 13 {
			r.Commit("main", map[string]string{fmt.Sprint("g", i): fmt.Sprint(round, i)})
			d.pulled("m", r.Dir)
		}
		writing := false
		eventually(t, "a repack", func() bool {
			writing = d.leftovers("m") != ""
			return writing || d.packs("m") < fewPacks // if it is over already, there is another round
		})
		if writing {
			inTheMidst++
		}
		if round%2 == 1 {
			d.stop()
		} else {
			d.kill()
		}
		d.run()
		d.get("/m").expect(t, 200)
		d.pulled("m", r.Dir).contains(t, "unchanged")
		// It may be at it again.
		eventually(t, "nothing left behind", func() bool { return d.leftovers("m") == "" })
		d.fsck("m")
	}
	if inTheMidst == 0 {
		t.Error("no repack was interrupted")
	}
}

// holdGit puts a git before the real one that waits, whenever it is to carry out this
// command, until free is called. begun tells how often that was.
func (d *daemon) holdGit(command string) (begun func() int, free func()) {
	d.t.Helper()
	dir := d.t.TempDir()
	notes, held := filepath.Join(dir, "notes"), filepath.Join(dir, "held")
	script := fmt.Sprintf("#!/bin/sh\ncase \"$*\" in *' %s '*) echo >>%s; while [ -e %s ]; do sleep 0.05; done;; esac\n"+
		"PATH=${PATH#*:} exec git \"$@\"\n", command, notes, held)
	for path, text := range map[string]string{filepath.Join(dir, "git"): script, notes: "", held: ""} {
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			d.t.Fatal(err)
		}
	}
	d.env = append(d.env, "PATH="+dir+":"+os.Getenv("PATH"))
	return func() int { return strings.Count(read(d.t, notes), "\n") }, func() {
		if err := os.Remove(held); err != nil {
			d.t.Error(err)
		}
	}
}

// manyPacks pushes until a mirror has more packs than are left alone, and not once more: to
// that a repack that has begun already would give way.
func (d *daemon) manyPacks(name string, r *origin.Repo) {
	d.t.Helper()
	for i := range fewPacks + 1 {
		r.Commit("main", map[string]string{name: fmt.Sprint(i)})
		d.pulled(name, r.Dir)
	}
}

// TestARepackGivesWay to a pull, which does not wait for it, and begins anew.
func TestARepackGivesWay(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := prepare(t)
	begun, free := d.holdGit("repack")
	d.run()
	d.manyPacks("m", r)
	eventually(t, "a repack", func() bool { return begun() > 0 })
	writing := filepath.Join(d.mirror("m"), "objects", "pack", "tmp_pack_x")
	if err := os.WriteFile(writing, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	commit := r.Commit("main", map[string]string{"file": "now"})
	d.pulled("m", r.Dir)
	if exists(writing) {
		t.Error("what the repack had begun to write is still there")
	}
	d.get("/m").expect(t, 200, "X-Revision", commit)
	eventually(t, "another repack", func() bool { return begun() > 1 })
	if strings.Contains(d.log.String(), "can't repack") {
		t.Errorf("the log:\n%s", d.log)
	}
	free()
	d.wait("repacked mirror=m")
	d.fsck("m")
}

// TestNoRepackDuringACheck: it would take the packs away that are being read.
func TestNoRepackDuringACheck(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := prepare(t, `maintenance = false`)
	begun, free := d.holdGit("fsck")
	d.run()
	d.manyPacks("checked", r)
	d.reload(`maintenance = false`, `check = "2s"`)
	eventually(t, "a check", func() bool { return begun() > 0 })
	if err := os.CopyFS(d.mirror("other"), os.DirFS(d.mirror("checked"))); err != nil {
		t.Fatal(err)
	}
	d.reload()
	r.Commit("main", map[string]string{"file": "now"})
	d.pulled("checked", r.Dir)
	d.pulled("other", r.Dir)
	d.wait("repacked mirror=other") // which has come after the other one's turn
	if n := d.packs("checked"); n <= fewPacks || strings.Contains(d.log.String(), "repacked mirror=checked") {
		t.Errorf("%d packs are left of what is being checked; the log:\n%s", n, d.log)
	}
	free()
	d.wait("repacked mirror=checked")
	d.wait("INFO checked mirror=checked")
	d.fsck("checked")
}

// TestARepackIsNotSweptAway: who changes refs by hand of a mirror that no pull from its
// origin has brought up to date since the start has it read anew. That clears away what is
// left of an interrupted git, but nothing that is being written.
func TestARepackIsNotSweptAway(t *testing.T) {
	t.Parallel()
	r, server, url := served(t)
	peer, d := start(t), prepare(t, "maintenance = false")
	begun, free := d.holdGit("repack")
	d.run()
	for i := range 14 {
		r.Commit("main", map[string]string{"file": fmt.Sprint(i)})
		d.pulled("m", url)
	}
	d.stop()
	commit := r.Commit("main", map[string]string{"file": "of a peer"})
	peer.pulled("m", url)
	server.Close()
	d.configure(peers(peer.url), `retry = "1h"`) // the next reader does not have it pulled again
	d.run()
	eventually(t, "what the peer has", func() bool { return d.get("/m").Header.Get("X-Revision") == commit })
	eventually(t, "a repack", func() bool { return begun() > 0 })
	writing := filepath.Join(d.mirror("m"), "objects", "pack", "tmp_pack_x")
	if err := os.WriteFile(writing, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	if out, err := origin.Command("--git-dir="+d.mirror("m"), "branch", "mine", "main").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	d.get("/m").expect(t, 200)
	if !exists(writing) || begun() != 1 {
		t.Errorf("the repack's file is there: %v; it was begun %d times", exists(writing), begun())
	}
	free()
	eventually(t, "few packs", func() bool { return d.packs("m") <= fewPacks })
	eventually(t, "what is on disk now", func() bool { return d.get("/m?ref=mine").StatusCode == 200 })
	d.fsck("m")
}

// TestManyPushes pushes one commit at a time. A mirror that is pushed to for long is
// compared with one that has its first hundred pushes while the other has its last, so that
// whatever else this machine does slows both: packs, loose objects, the time of a pull, and
// of clones through sould. All of a longer history takes longer to clone from anywhere; so
// that is set against clones of the origins themselves. SOULD_PUSHES is how many there are.
func TestManyPushes(t *testing.T) {
	if !soak() {
		t.Parallel()
	}
	total := shortOrLong(120, 10_000)
	if text := os.Getenv("SOULD_PUSHES"); text != "" {
		total = mustAtoi(t, text)
	}
	if total <= 100 {
		t.Fatalf("%d pushes can't be compared with a hundred", total)
	}
	d := start(t)
	old, young := newPushed(t, d, "old"), newPushed(t, d, "young")
	for range total - 100 {
		old.push()
	}
	old.pulls, old.most = nil, 0
	for range 100 {
		old.push()
		young.push()
	}
	for _, m := range []*pushed{old, young} {
		// Pushes on a slow machine have made repacks give way, and wait for longer each time.
		if !within(5*time.Minute, func() bool { return d.packs(m.name) <= fewPacks }) {
			t.Fatalf("%s has %d packs, and nobody repacks them", m.name, d.packs(m.name))
		}
		m.Git("repack", "-a", "-d", "-q")
	}
	for range shortOrLong(3, 15) {
		for _, m := range []*pushed{old, young} {
			m.clones = append(m.clones, m.clone(d.url+"/"+m.name))
			m.shallow = append(m.shallow, m.clone("--depth=1", d.url+"/"+m.name))
			m.direct = append(m.direct, m.clone(m.url))
		}
	}
	t.Logf("the last of %d pushes: %s", total, old)
	t.Logf("the first hundred: %s", young)
	times := func(a, b []time.Duration) float64 { return float64(median(a)) / float64(median(b)) }
	for what, ratio := range map[string]float64{
		"packs":           float64(old.most) / float64(young.most),
		"loose objects":   float64(old.loose()+1) / float64(young.loose()+1),
		"a pull":          times(old.pulls, young.pulls),
		"a clone":         times(old.clones, young.clones) / max(1, times(old.direct, young.direct)),
		"a shallow clone": times(old.shallow, young.shallow),
	} {
		if soak() && ratio > 1.5 {
			t.Errorf("%s: %.2f of what it is after a hundred pushes", what, ratio)
		}
	}
	for _, m := range []*pushed{old, young} {
		if got, want := refs(t, d.mirror(m.name)), refs(t, m.Dir); got != want {
			t.Errorf("the mirror has\n%sthe origin\n%s", got, want)
		}
		d.fsck(m.name)
	}
}

// pushed is a mirror that is pushed to, and what was measured of it.
type pushed struct {
	*origin.Repo
	t         *testing.T
	d         *daemon
	name, url string
	count     int // of pushes

	most                           int // packs
	pulls, clones, shallow, direct []time.Duration
}

func newPushed(t *testing.T, d *daemon, name string) *pushed {
	t.Helper()
	r, _, url := served(t)
	d.pulled(name, r.Dir)
	return &pushed{Repo: r, t: t, d: d, name: name, url: url}
}

// push makes a commit and has the mirror pulled.
func (m *pushed) push() {
	m.t.Helper()
	if m.count%100 == 0 {
		m.Git("repack", "-a", "-d", "-q") // the origin is not what is measured
	}
	m.Commit("main", map[string]string{fmt.Sprint("f", m.count%50): fmt.Sprint(m.count)})
	m.count++
	began := time.Now()
	m.d.pulled(m.name, m.Dir)
	m.pulls = append(m.pulls, time.Since(began))
	if m.most = max(m.most, m.d.packs(m.name)); m.most > mostPacks {
		m.t.Fatalf("after %d pushes there are %d packs", m.count, m.most)
	}
}

// clone clones, and returns the time that it takes.
func (m *pushed) clone(args ...string) time.Duration {
	m.t.Helper()
	args = append(append([]string{"clone", "--quiet", "--bare"}, args...), filepath.Join(m.t.TempDir(), "clone"))
	began := time.Now()
	if out, err := origin.Command(args...).CombinedOutput(); err != nil {
		m.t.Fatalf("%v\n%s", err, out)
	}
	return time.Since(began)
}

func (m *pushed) loose() int {
	found, _ := filepath.Glob(filepath.Join(m.d.mirror(m.name), "objects", "[0-9a-f][0-9a-f]", "*"))
	return len(found)
}

func (m *pushed) String() string {
	return fmt.Sprintf("at most %d packs, %d loose objects; a pull %s, a clone %s, a shallow one %s, one of the origin %s",
		m.most, m.loose(), median(m.pulls), median(m.clones), median(m.shallow), median(m.direct))
}

func median(all []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(all))[len(all)/2]
}
