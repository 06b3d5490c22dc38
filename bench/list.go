package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// spent is the CPU time of a command and its children, by the operating system's accounting.
func (b *bench) spent(cmd *exec.Cmd) time.Duration {
	b.read(cmd)
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// postNothingNewOverHTTP compares the CPU time of the server and its children with that of a git
// that does the same. The origin's is in neither.
func postNothingNewOverHTTP(b *bench) []row {
	root := b.TempDir()
	generate(b, filepath.Join(root, "r.git"))
	url := origin.ServeHTTP(b, root).URL + "/r.git"
	d, calls := b.startCounted(filepath.Join(b.TempDir(), "storage"))
	defer d.finish()
	d.post("m", url)
	fetch := b.byHand(url)
	rounds := max(10*b.n, 200) // the server's time is counted in ticks of 10 ms
	var theirs time.Duration
	for range b.n {
		theirs += b.spent(origin.Command(fetch...))
	}
	theirs /= time.Duration(b.n)
	known, before := calls(), b.cpuOfAll(d.pid)
	for range rounds {
		d.post("m", url)
	}
	ours := (b.cpuOfAll(d.pid) - before) / time.Duration(rounds)
	started := calls() - known
	wall, post, fetched := b.pairs(func() {}, func() { d.post("m", url) }, func() { b.git(fetch...) })
	note := fmt.Sprintf("CPU %s / %s; time with the origin's %s / %s, %.2f", ms(ours), ms(theirs), ms(post), ms(fetched), wall)
	return []row{
		{"POST, nothing new, over http, over git fetch --prune by hand", float64(ours) / float64(theirs), "≤ 0.15", note},
		{"the same: processes started", float64(started), "≤ 0", ""},
	}
}

// postOneCommitOverHTTP compares the same for a push of one commit.
func postOneCommitOverHTTP(b *bench) []row {
	root := b.TempDir()
	r := generate(b, filepath.Join(root, "r.git"))
	url := origin.ServeHTTP(b, root).URL + "/r.git"
	d := b.start()
	defer d.finish()
	d.post("m", url)
	fetch := b.byHand(url)
	var ours, theirs time.Duration
	n := 0
	wall, post, fetched := b.pairs(
		func() { n++; r.Commit("main", map[string]string{"new": fmt.Sprint(n)}) },
		func() {
			before := b.cpuOfAll(d.pid)
			d.post("m", url)
			ours += b.cpuOfAll(d.pid) - before
		},
		func() { theirs += b.spent(origin.Command(fetch...)) },
	)
	times := time.Duration(n)
	note := fmt.Sprintf("CPU %s / %s; time with the origin's %s / %s, %.2f", ms(ours/times), ms(theirs/times), ms(post), ms(fetched), wall)
	return []row{{"POST, one new commit, over http, over the same", float64(ours) / float64(theirs), "≤ 1", note}}
}

// looks is how many mirrors are looked at.
const looks = 1000

// looksOverHTTP has mirrors looked at one after the other, each with an origin of its own.
func looksOverHTTP(b *bench) []row {
	root := b.TempDir()
	model := origin.New(b, filepath.Join(root, "0.git"))
	model.Commit("main", map[string]string{"f": "1"})
	for i := range 9 {
		model.Git("branch", fmt.Sprintf("branch-%d", i), "main")
	}
	for i := 1; i < looks; i++ {
		b.check(copyMirror(model.Dir, filepath.Join(root, fmt.Sprintf("%d.git", i))))
	}
	server := origin.ServeHTTP(b, root)
	d, calls := b.startCounted(filepath.Join(b.TempDir(), "storage"))
	defer d.finish()
	look := func() {
		for i := range looks {
			d.post(fmt.Sprint("m", i), fmt.Sprintf("%s/%d.git", server.URL, i))
		}
	}
	look() // which makes them
	known, before := calls(), b.cpuOfAll(d.pid)
	took := timed(look)
	spent := b.cpuOfAll(d.pid) - before
	note := fmt.Sprintf("%s each with the origin's time, %d processes started", ms(took/looks), calls()-known)
	return []row{{"1,000 looks at http origins with nothing new: CPU each (ms)", milliseconds(spent / looks), "≤ 1", note}}
}
