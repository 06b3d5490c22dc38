package main

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/reconquest/sould/tests/origin"
)

// What a generated repository consists of.
const (
	genFiles    = 5000
	genFileSize = 10_000 // bytes, so that an archive has about 50 MB
	genCommits  = 100
	genBranches = 1000
	genTags     = 1000
)

// generate makes the repository that is measured: the same each time.
func generate(t origin.T, dir string) *origin.Repo {
	r := origin.New(t, dir)
	random := rand.New(rand.NewPCG(1, 2))
	var s strings.Builder
	commit := func(n int) {
		fmt.Fprintf(&s, "commit refs/heads/main\nmark :%d\ncommitter T <t@example.org> %d +0000\ndata 1\nx\n", n, 1_000_000_000+n)
		if n > 1 {
			fmt.Fprintf(&s, "from :%d\n", n-1)
		}
	}
	file := func(i int) {
		text := words(random, genFileSize)
		fmt.Fprintf(&s, "M 100644 inline dir%02d/sub%d/file%04d.txt\ndata %d\n%s\n", i%50, i%7, i, len(text), text)
	}
	commit(1)
	for i := range genFiles {
		file(i)
	}
	for n := 2; n <= genCommits; n++ {
		commit(n)
		for range 5 {
			file(random.IntN(genFiles))
		}
	}
	for i := range genBranches {
		fmt.Fprintf(&s, "reset refs/heads/branch-%04d\nfrom :%d\n\n", i, 1+i%genCommits)
	}
	for i := range genTags {
		fmt.Fprintf(&s, "tag v1.%d\nfrom :%d\ntagger T <t@example.org> 1000000000 +0000\ndata 1\nx\n", i, 1+i%genCommits)
	}
	r.Import(s.String())
	r.Git("pack-refs", "--all")
	r.Git("repack", "-adq", "--write-bitmap-index")
	return r
}

// words are text that compresses about as well as source code does.
func words(random *rand.Rand, size int) string {
	var b strings.Builder
	for b.Len() < size {
		for range 1 + random.IntN(9) {
			b.WriteByte(byte('a' + random.IntN(26)))
		}
		b.WriteByte(" \n"[random.IntN(8)/7])
	}
	return b.String()[:size]
}
