package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// firstMirror compares the first POST of a repository with git clone --bare, in turn, and which of
// them is first in turn as well. If the origin is a path, its work is in the time and the CPU of
// both.
func firstMirror(b *bench) []row {
	url, _ := b.herdOrigin()
	d := b.start()
	defer d.stop()
	dir := filepath.Join(b.TempDir(), "clone.git")
	var times, cpus [2][]float64 // ours, theirs
	for i := range max(3, b.n/6) {
		post := func() {
			name := fmt.Sprint("m", i)
			before := b.cpuOfAll(d.pid)
			times[0] = append(times[0], timed(func() { d.post(name, url) }).Seconds())
			cpus[0] = append(cpus[0], (b.cpuOfAll(d.pid) - before).Seconds())
			b.check(os.RemoveAll(filepath.Join(d.storage, name)))
		}
		clone := func() {
			var cpu time.Duration
			times[1] = append(times[1], timed(func() {
				cpu = b.spent(origin.Command("clone", "--quiet", "--bare", "--no-local", url, dir))
			}).Seconds())
			cpus[1] = append(cpus[1], cpu.Seconds())
			b.check(os.RemoveAll(dir))
		}
		if i%2 == 0 {
			post()
			clone()
		} else {
			clone()
			post()
		}
	}
	ratio := func(pairs [2][]float64) (float64, string) {
		var all []float64
		for i := range pairs[0] {
			all = append(all, pairs[0][i]/pairs[1][i])
		}
		return median(all), fmt.Sprintf("%.1f s / %.1f s", median(pairs[0]), median(pairs[1]))
	}
	wall, wallNote := ratio(times)
	cpu, cpuNote := ratio(cpus)
	return []row{
		{"first mirror over git clone --bare", wall, "≤ 1.3", wallNote},
		{"the same: CPU", cpu, "", cpuNote},
	}
}
