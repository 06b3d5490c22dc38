package main

import (
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// quota has clients read mirrors that are not there, of random names, and measures how far all of them
// together exceed their quota meanwhile: by no more than each transfer that is running.
func quota(b *bench) []row {
	const clients, bytes, largest = 8, 16 << 20, 300 << 10
	reads := 10_000 * b.n / 30
	root := b.TempDir()
	sizes := []int{1, 50, 100, 200} // kB
	for i, kB := range sizes {
		noise := make([]byte, kB<<10)
		_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(noise)
		origin.New(b, filepath.Join(root, fmt.Sprintf("r%d", i))).Commit("main", map[string]string{"noise": string(noise)})
	}
	server := origin.ServeHTTP(b, root)
	above := regexp.MustCompile(`^/[0-9]+/`)
	server.Before(func(r *http.Request) { r.URL.Path = above.ReplaceAllString(r.URL.Path, "/") })
	d := b.start("max_fetches = 4", "maintenance = false", "check = 0", fmt.Sprintf("[[ondemand]]\nprefix = 'p/'\norigin = '%s/{path}'\nquota = %d", server.URL, bytes))
	defer d.finish()
	names := make(chan string)
	go func() {
		defer close(names)
		for i := range reads {
			names <- fmt.Sprintf("/p/%d/r%d", i, rand.IntN(len(sizes)))
		}
	}()
	most, stop := make(chan int64), make(chan bool)
	go func() { most <- d.mostUsed(stop) }()
	var all sync.WaitGroup
	began := time.Now()
	for range clients {
		all.Go(func() {
			for name := range names {
				d.getWhenRoom(name)
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	close(stop)
	over := <-most - bytes
	return []row{{fmt.Sprintf("quota under %d random first reads: what exceeds it, over %d transfers in flight", reads, clients),
		max(float64(over), 0) / (clients * largest), "≤ 1", fmt.Sprintf("%d kB over %d MB; %.0f reads/s", over>>10, bytes>>20, float64(reads)/took.Seconds())}}
}

// getWhenRoom gets a path, again and again while there is no room for it.
func (d *daemon) getWhenRoom(path string) {
	for {
		response, err := d.client.Get(d.url + path)
		d.b.check(err)
		body, err := io.ReadAll(response.Body)
		d.b.check(err)
		response.Body.Close()
		switch response.StatusCode {
		case http.StatusOK:
			return
		case http.StatusServiceUnavailable:
			time.Sleep(100 * time.Millisecond)
		default:
			d.b.Fatalf("GET %s: %s\n%s", path, response.Status, body)
		}
	}
}

// mostUsed returns the most that mirrors on demand, their trash and transfers in flight take on disk at
// any moment until stop is closed, in bytes.
func (d *daemon) mostUsed(stop <-chan bool) (most int64) {
	look := time.NewTicker(30 * time.Millisecond) // a look takes ten; without a pause it would keep one of two CPUs from what is measured
	defer look.Stop()
	for {
		select {
		case <-stop:
			return most
		case <-look.C:
		}
		used, seen := int64(0), make(map[uint64]bool)
		for _, dir := range []string{"p", ".sould/trash", ".sould/incoming"} {
			_ = filepath.WalkDir(filepath.Join(d.storage, dir), func(path string, entry fs.DirEntry, err error) error {
				if err != nil {
					return nil // it has just gone
				}
				if info, err := entry.Info(); err == nil {
					if stat := info.Sys().(*syscall.Stat_t); !seen[stat.Ino] { // it may have moved
						seen[stat.Ino], used = true, used+stat.Blocks*512
					}
				}
				return nil
			})
		}
		most = max(most, used)
	}
}
