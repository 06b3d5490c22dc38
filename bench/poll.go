package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

const (
	pollInterval = 5 * time.Minute
	pollMeasured = time.Minute
)

// pollOfMany is what it costs to look at the origins of many mirrors without a request: the share of one
// CPU, that of the server without a poll included, which is told beside it. The origin's is not in it.
func pollOfMany(b *bench) []row {
	storage := b.polledStorage()
	share := func(d *daemon) float64 {
		before := b.cpuOfAll(d.pid)
		took := timed(func() { time.Sleep(pollMeasured) })
		return 100 * float64(b.cpuOfAll(d.pid)-before) / float64(took)
	}
	idle := b.startOn(storage, "master = true")
	idle.loaded()
	without := share(idle)
	idle.finish()
	d := b.startOn(storage, "master = true", fmt.Sprintf("poll = %q", pollInterval))
	defer d.finish()
	d.loaded()
	quiet := b.resident(d.pid)
	time.Sleep(pollInterval) // the first looks find out whether the copies are whole
	looks := d.looks()
	with := share(d)
	looks = d.looks() - looks
	note := fmt.Sprintf("%.1f looks a second, %.2f %% of one CPU without them; %.0f MB resident, %.0f MB before the first look",
		looks/pollMeasured.Seconds(), without, b.resident(d.pid), quiet)
	return []row{{"poll of 10,000 http mirrors in 5 minutes: share of one CPU (%)", with, "≤ 5", note}}
}

// polledStorage is a storage of many mirrors, each with an origin of its own, all by one http server.
func (b *bench) polledStorage() (storage string) {
	root := b.TempDir()
	r := origin.New(b, filepath.Join(root, "mirror-00000.git"))
	r.Commit("main", map[string]string{"f": "1"})
	for i := range 9 {
		r.Git("branch", fmt.Sprintf("branch-%d", i), "main")
	}
	server := origin.ServeHTTP(b, root)
	d := b.start()
	d.post("pool/mirror-00000", server.URL+"/mirror-00000.git")
	d.finish()
	model := filepath.Join(d.storage, "pool", "mirror-00000")
	for n := 1; n < manyMirrors; n++ {
		name := fmt.Sprintf("mirror-%05d", n)
		b.check(os.Symlink("mirror-00000.git", filepath.Join(root, name+".git")))
		copied := filepath.Join(d.storage, "pool", name)
		b.check(copyMirror(model, copied))
		for _, file := range []string{"config", "sould.json"} {
			text, err := os.ReadFile(filepath.Join(copied, file))
			b.check(err)
			b.check(os.WriteFile(filepath.Join(copied, file), []byte(strings.ReplaceAll(string(text), "mirror-00000", name)), 0o600))
		}
	}
	return d.storage
}

// loaded waits until a server knows its mirrors.
func (d *daemon) loaded() {
	for d.loading() {
		time.Sleep(10 * time.Millisecond)
	}
}

var countedLooks = regexp.MustCompile(`(?m)^sould_polls_total\{.*\} (\S+)$`)

// looks is how many looks of its poll a server has counted.
func (d *daemon) looks() (all float64) {
	answer, err := d.client.Get(d.url + "/x/metrics")
	d.b.check(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	d.b.check(err)
	for _, m := range countedLooks.FindAllStringSubmatch(string(text), -1) {
		n, err := strconv.ParseFloat(m[1], 64)
		d.b.check(err)
		all += n
	}
	return all
}
