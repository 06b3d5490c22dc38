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

// TestPushesLeaveFewPacks pushes without a pause while others archive and clone, and then
// leaves the mirror alone.
func TestPushesLeaveFewPacks(t *testing.T) {
	t.Parallel()
	const pushes, tooMany, tolerable = 60, 48, 12
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
	if most > tooMany+8 { // some pulls may be faster than the worker is woken up
		t.Errorf("there were %d packs", most)
	}
	eventually(t, "few packs", func() bool { return d.packs("m") <= tolerable })
	d.wait(`repacked mirror=m repack=full`) // what makes reading fast has been written
	stop.Store(true)
	readers.Wait()
	if found, _ := filepath.Glob(filepath.Join(d.mirror("m"), "objects", "pack", "*.bitmap")); len(found) != 1 {
		t.Errorf("bitmaps: %q", found)
	}
	if _, err := os.Stat(filepath.Join(d.mirror("m"), "objects", "info", "commit-graphs", "commit-graph-chain")); err != nil {
		t.Error(err)
	}
	if got := d.leftovers("m"); got != "" {
		t.Errorf("left behind:\n%s", got)
	}
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
	script := "#!/bin/sh\ncase \"$*\" in *long*' repack '*) echo >>" + begun + "; while [ -e " + hold + " ]; do sleep 0.05; done;; esac\n" +
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
	push("long", 14)
	eventually(t, "the repack has begun", func() bool { return times() > 0 })
	for range 5 {
		d.pulled("long", r.Dir).contains(t, "unchanged")
	}
	push("busy", 60)
	d.wait(`repacked mirror=busy repack=quick`)
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
		if got := d.leftovers(name); got != "" {
			t.Errorf("left behind:\n%s", got)
		}
	}
}

// TestAKilledRepackLeavesNothing kills the daemon at moments at which it repacks.
func TestAKilledRepackLeavesNothing(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	big := strings.Repeat("some words to pack\n", 200)
	for i := range 40 {
		r.Commit("main", map[string]string{fmt.Sprint("f", i): fmt.Sprint(i) + big})
	}
	d := start(t)
	d.pulled("m", r.Dir)
	for round := range 2 {
		for i := range 13 {
			r.Commit("main", map[string]string{fmt.Sprint("g", i): fmt.Sprint(round, i)})
			d.pulled("m", r.Dir)
		}
		begun := func() bool { return d.leftovers("m") != "" || d.packs("m") < 12 }
		within(3*time.Second, begun) // if it is over already, that is fine as well
		if round == 1 {
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
}

// TestManyPushes is the long form: SOULD_PUSHES=10000 go test ./tests -run ManyPushes -timeout 2h
func TestManyPushes(t *testing.T) {
	total := 0
	if text := os.Getenv("SOULD_PUSHES"); text != "" {
		total = mustAtoi(t, text)
	}
	if total < 200 {
		t.Skip("SOULD_PUSHES says how many pushes there are to be; 200 at least")
	}
	r := newOrigin(t)
	d := start(t)
	d.pulled("m", r.Dir)
	type figures struct {
		packs, loose int
		pull, clone  time.Duration
	}
	median := func(all []time.Duration) time.Duration { slices.Sort(all); return all[len(all)/2] }
	hundred := func(from int) (f figures) {
		r.Git("repack", "-a", "-d", "-q") // the origin is not what is measured
		r.Git("prune-packed", "-q")
		var pulls, clones []time.Duration
		for i := range 100 {
			r.Commit("main", map[string]string{fmt.Sprint("f", (from+i)%50): fmt.Sprint(from + i)})
			began := time.Now()
			d.pulled("m", r.Dir)
			pulls = append(pulls, time.Since(began))
			f.packs = max(f.packs, d.packs("m"))
		}
		loose, _ := filepath.Glob(filepath.Join(d.mirror("m"), "objects", "[0-9a-f][0-9a-f]", "*"))
		f.loose = len(loose)
		eventually(t, "a repack", func() bool { return d.packs("m") <= 12 })
		for i := range 15 {
			to := filepath.Join(t.TempDir(), fmt.Sprint(i))
			began := time.Now()
			if out, err := origin.Command("clone", "--quiet", "--bare", "--no-local", "--depth=1", d.mirror("m"), to).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			clones = append(clones, time.Since(began))
		}
		f.pull, f.clone = median(pulls), median(clones)
		return f
	}
	first := hundred(0)
	var last figures
	for done := 100; done < total; done += 100 {
		last = hundred(done)
	}
	t.Logf("the first hundred: %+v; the last: %+v", first, last)
	over := func(a, b float64) bool { return b > 1.5*a }
	if over(float64(first.packs), float64(last.packs)) || over(float64(first.loose), float64(last.loose)) ||
		over(float64(first.pull), float64(last.pull)) || over(float64(first.clone), float64(last.clone)) {
		t.Errorf("it has got slower")
	}
	d.fsck("m")
}
