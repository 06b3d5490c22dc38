package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// manyMirrors is how many there are where there are many.
const manyMirrors = 10_000

// storageOfMany fills a storage with copies of one mirror, and returns its origin too.
func (b *bench) storageOfMany() (storage string, r *origin.Repo) {
	r = origin.New(b, filepath.Join(b.TempDir(), "r.git"))
	r.Commit("main", map[string]string{"f": "1"})
	for i := range 9 {
		r.Git("branch", fmt.Sprintf("branch-%d", i), "main")
	}
	d := b.start()
	d.post("pool/mirror-00000", r.Dir)
	d.finish()
	model := filepath.Join(d.storage, "pool", "mirror-00000")
	numbers := make(chan int)
	var copiers sync.WaitGroup
	for range 8 {
		copiers.Go(func() {
			for n := range numbers {
				b.check(copyMirror(model, filepath.Join(d.storage, "pool", fmt.Sprintf("mirror-%05d", n))))
			}
		})
	}
	for n := 1; n < manyMirrors; n++ {
		numbers <- n
	}
	close(numbers)
	copiers.Wait()
	return d.storage, r
}

// copyMirror copies a bare repository. Its packs, which nobody changes, are links.
func copyMirror(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := to + strings.TrimPrefix(path, from)
		if entry.IsDir() {
			return os.Mkdir(target, 0o755)
		}
		if strings.HasPrefix(entry.Name(), "pack-") {
			return os.Link(path, target)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o600)
	})
}

// startCounted starts a sould on a storage, with a git before the real one that notes each call.
// started returns how many calls there were.
func (b *bench) startCounted(storage string) (d *daemon, started func() int) {
	dir := b.TempDir()
	notes := filepath.Join(dir, "notes")
	script := "#!/bin/sh\necho >>" + notes + "\nPATH=${PATH#*:} exec git \"$@\"\n"
	b.check(os.WriteFile(filepath.Join(dir, "git"), []byte(script), 0o755))
	path := os.Getenv("PATH")
	b.check(os.Setenv("PATH", dir+string(os.PathListSeparator)+path))
	d = b.startOn(storage)
	b.check(os.Setenv("PATH", path))
	return d, func() int {
		text, err := os.ReadFile(notes)
		b.check(err)
		return len(text)
	}
}

// loading reports whether a daemon is still reading its storage.
func (d *daemon) loading() bool {
	response, err := d.client.Get(d.url + "/x/status?format=json")
	d.b.check(err)
	defer response.Body.Close()
	var status struct {
		Total   int
		Loading bool
	}
	d.b.check(json.NewDecoder(response.Body).Decode(&status))
	if !status.Loading && status.Total != manyMirrors {
		d.b.Fatalf("%d mirrors, not %d", status.Total, manyMirrors)
	}
	return status.Loading
}

func statusOfMany(b *bench) []row {
	storage, r := b.storageOfMany()
	var d *daemon
	var starts, loads []time.Duration
	for range min(b.n, 5) {
		if d != nil {
			d.finish()
		}
		began := time.Now()
		d = b.startOn(storage)
		d.get("/x/status?name=pool/mirror-09999")
		starts = append(starts, time.Since(began))
		for d.loading() {
			time.Sleep(10 * time.Millisecond)
		}
		loads = append(loads, time.Since(began))
	}
	d.finish()
	rows := []row{{
		"start with 10,000 mirrors until the first answer (ms)", milliseconds(median(starts)), "≤ 1000",
		"all are read after " + ms(median(loads)),
	}}

	d, calls := b.startCounted(storage)
	defer d.finish()
	for d.loading() {
		time.Sleep(10 * time.Millisecond)
	}
	before := calls()
	warm := make(map[string]time.Duration)
	var size int64
	for _, format := range []string{"json", "hierarchical", "toml"} {
		var times []time.Duration
		for i := range b.n + 2 {
			took := timed(func() { size = d.get("/x/status?format=" + format) })
			if i >= 2 {
				times = append(times, took)
			}
		}
		warm[format] = median(times)
	}
	started := calls() - before
	var fresh []time.Duration
	for range b.n {
		d.post("pool/mirror-00000", r.Dir)
		fresh = append(fresh, timed(func() { d.get("/x/status?format=json") }))
	}
	note := fmt.Sprintf("hierarchical %s, toml %s (%.1f MB); json after a pull %s; %.0f MB resident",
		ms(warm["hierarchical"]), ms(warm["toml"]), float64(size)/1e6, ms(median(fresh)), b.resident(d.pid))
	return append(rows,
		row{"status with 10,000 mirrors, warm, as JSON (ms)", milliseconds(warm["json"]), "≤ 30", note},
		row{"the same: processes started", float64(started), "≤ 0", ""})
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
