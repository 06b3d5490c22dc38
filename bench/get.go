package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/reconquest/sould/tests/origin"
)

func firstGet(b *bench) []row {
	r := b.own()
	d := b.start()
	defer d.stop()
	d.post("m", r.Dir)
	mirror := filepath.Join(d.storage, "m")
	n := 0
	var size int64
	ratio, ours, theirs := b.pairs(
		func() { n++; r.Commit("main", map[string]string{"new": fmt.Sprint(n)}); d.post("m", r.Dir) },
		func() { size = d.get("/m") },
		func() { b.git("--git-dir="+mirror, "archive", "--format=tar", "main") },
	)
	note := fmt.Sprintf("%s / %s, %d MB", ms(ours), ms(theirs), size>>20)
	return []row{{"first GET of an archive over git archive to a pipe", ratio, "≤ 1.15", note}}
}

func memory(b *bench) []row {
	d := b.start()
	defer d.stop()
	d.post("m", b.origin)
	r := origin.New(b, filepath.Join(b.TempDir(), "small.git"))
	r.Commit("main", map[string]string{"f": strings.Repeat("x", 100_000)})
	d.post("small", r.Dir)
	use := func(n int) {
		for i := range n {
			d.post("m", b.origin)
			d.get("/small")
			if i%50 == 0 {
				d.get("/m")
			}
		}
	}
	use(500)
	half := b.resident(d.pid)
	use(500)
	full := b.resident(d.pid)
	note := fmt.Sprintf("%.1f MB after 500 of each, %.1f MB after 1,000", half, full)
	return []row{
		{"resident memory (MB) after 1,000 POSTs and 1,000 GETs", full, "≤ 40", note},
		{"the same over that after 500", full / half, "≤ 1.1", note},
	}
}
