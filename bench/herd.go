package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// The repository that is cloned by many at once has this many small files, and as many new ones in
// each version: a pack of it has 110 MB and 200,000 objects, one of the latest version 11 MB.
const (
	herdFiles    = 20_000
	herdVersions = 10
)

// herdOrigin makes that repository, unless another one is measured. Like those of people it consists
// of many small objects, so that a pack of it costs git some work.
func (b *bench) herdOrigin() (dir, tip string) {
	if b.given {
		out, err := origin.Command("ls-remote", b.origin, "HEAD").Output()
		b.check(err)
		tip, _, _ := strings.Cut(string(out), "\t")
		return b.origin, tip
	}
	dir = filepath.Join(b.TempDir(), "herd.git")
	r := origin.New(b, dir)
	random := rand.New(rand.NewPCG(5, 6))
	var s strings.Builder
	noise := make([]byte, 500)
	for n := 1; n <= herdVersions; n++ {
		fmt.Fprintf(&s, "commit refs/heads/main\nmark :%d\ncommitter T <t@example.org> %d +0000\ndata 1\nx\n", n, 1_000_000_000+n)
		if n > 1 {
			fmt.Fprintf(&s, "from :%d\n", n-1)
		}
		for i := range herdFiles {
			for j := range noise {
				noise[j] = byte(random.Uint32())
			}
			fmt.Fprintf(&s, "M 100644 inline d%02d/%05d\ndata %d\n", i%50, i, len(noise))
			s.Write(noise)
			s.WriteByte('\n')
		}
	}
	r.Import(s.String())
	r.Git("repack", "-adq")
	return dir, r.Git("rev-parse", "main")
}

// fetchRequest is a request of version 2 for all that a commit leads to.
func fetchRequest(tip string, lines ...string) string {
	line := func(s string) string { return fmt.Sprintf("%04x%s", len(s)+5, s+"\n") }
	body := line("command=fetch") + "0001" + line("no-progress") + line("ofs-delta") + line("want "+tip)
	for _, one := range lines {
		body += line(one)
	}
	return body + line("done") + "0000"
}

// ask sends such a request, and returns how much comes.
func (b *bench) ask(url, tip string, lines ...string) int64 {
	request, err := http.NewRequest(http.MethodPost, url+"/git-upload-pack", strings.NewReader(fetchRequest(tip, lines...)))
	b.check(err)
	request.Header.Set("Content-Type", "application/x-git-upload-pack-request")
	request.Header.Set("Git-Protocol", "version=2")
	response, err := http.DefaultClient.Do(request)
	b.check(err)
	defer response.Body.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, response.Body, make([]byte, 256<<10))
	b.check(err)
	if response.StatusCode != http.StatusOK {
		b.Fatalf("%s: %s", url, response.Status)
	}
	return n
}

// unique is a line that makes a request one that nobody else sends.
var unique = func() func() string {
	n := 0
	return func() string { n++; return fmt.Sprintf("have %040x", n) }
}()

// herd measures many equal clones at once.
func herd(b *bench) []row {
	dir, tip := b.herdOrigin()
	d := b.start(`bundle_from = "0"`) // it would be made meanwhile
	defer d.stop()
	d.post("m", dir)
	cost := func(clients int, lines ...string) float64 {
		before := b.cpuOfAll(d.pid)
		var all sync.WaitGroup
		for range clients {
			all.Go(func() { b.ask(d.url+"/m", tip, lines...) })
		}
		all.Wait()
		return (b.cpuOfAll(d.pid) - before).Seconds()
	}
	compare := func(what, must string, clients int, lines ...string) row {
		var ratios []float64
		var one, many float64
		for range max(3, b.n/6) {
			one = cost(1, append(lines, unique())...)
			many = cost(clients, append(lines, unique())...)
			ratios = append(ratios, many/one)
		}
		return row{what, median(ratios), must, fmt.Sprintf("%.2f s / %.2f s", many, one)}
	}
	return []row{
		compare("16 equal whole clones at once: CPU over that of one", "≤ 1.3", 16),
		compare("100 equal clones with --depth 1 at once: CPU over that of one", "≤ 1.5", 100, "deepen 1"),
		b.warmClones(d, tip),
		b.firstClone(d, tip),
	}
}

// warmClones compares a clone that is in the cache with a file that nginx sends.
func (b *bench) warmClones(d *daemon, tip string) row {
	var size int64
	for range 3 {
		size = b.ask(d.url+"/m", tip)
	}
	dir := b.TempDir()
	file := filepath.Join(dir, "pack")
	b.check(os.WriteFile(file, make([]byte, size), 0o644))
	other, name := b.nginx(file)
	crowd := func(ask func()) time.Duration {
		return timed(func() {
			var all sync.WaitGroup
			for range 16 {
				all.Go(ask)
			}
			all.Wait()
		})
	}
	get := func() {
		response, err := http.Get("http://" + other + "/pack")
		b.check(err)
		defer response.Body.Close()
		_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, response.Body, make([]byte, 256<<10))
		b.check(err)
	}
	var ratios []float64
	var ours, theirs time.Duration
	for range max(5, b.n/6) {
		ours, theirs = crowd(func() { b.ask(d.url+"/m", tip) }), crowd(get)
		ratios = append(ratios, float64(theirs)/float64(ours))
	}
	speed := func(t time.Duration) float64 { return 16 * float64(size) / 1e6 / t.Seconds() }
	note := fmt.Sprintf("%.0f MB/s / %.0f MB/s, %.0f MB", speed(ours), speed(theirs), float64(size)/1e6)
	return row{"the same clone again, 16 clients: throughput over " + name, median(ratios), "≥ 0.8", note}
}

// firstClone compares a clone that nobody has asked for with that of git http-backend.
func (b *bench) firstClone(d *daemon, tip string) row {
	other := "http://" + b.alternative("serve-cgi", d.storage) + "/m"
	var line string
	ratio, ours, theirs := b.pairs(func() { line = unique() },
		func() { b.ask(d.url+"/m", tip, line) }, func() { b.ask(other, tip, line) })
	return row{"first clone of its kind over git http-backend", ratio, "≤ 1.05", ms(ours) + " / " + ms(theirs)}
}

// slowHerd measures a tiny clone beside many slow readers of one pack.
func slowHerd(b *bench) []row {
	dir, tip := b.herdOrigin()
	tiny := origin.New(b, filepath.Join(b.TempDir(), "tiny.git"))
	tiny.Commit("main", map[string]string{"f": "x"})
	tinyTip := tiny.Git("rev-parse", "main")
	d := b.start(`bundle_from = "0"`) // it would be made meanwhile
	defer d.stop()
	d.post("m", dir)
	d.post("tiny", tiny.Dir)
	clone := func() time.Duration {
		var took []time.Duration
		for range max(5, b.n/3) {
			took = append(took, timed(func() { b.ask(d.url+"/tiny", tinyTip, unique()) }))
		}
		return median(took)
	}
	clone()
	idle := clone()
	const readers = 200
	stop := make(chan struct{})
	var all sync.WaitGroup
	body := fetchRequest(tip, unique())
	for range readers {
		all.Go(func() { b.askSlowly(d, body, stop) })
	}
	time.Sleep(5 * time.Second) // the pack is made, and they read
	busy := clone()
	memory := b.resident(d.pid)
	close(stop)
	all.Wait()
	return []row{
		{"a tiny clone beside 200 readers of a pack at 16 kB/s over the same on an idle server", float64(busy) / float64(idle), "≤ 2", ms(busy) + " / " + ms(idle)},
		{"resident memory (MB) meanwhile", memory, "≤ 80", ""},
	}
}

// askSlowly reads a pack at 16 kB/s until stop is closed.
func (b *bench) askSlowly(d *daemon, body string, stop <-chan struct{}) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	b.check(err)
	defer conn.Close()
	b.check(conn.(*net.TCPConn).SetReadBuffer(64 << 10)) // else the kernel takes in megabytes
	_, err = fmt.Fprintf(conn, "POST /m/git-upload-pack HTTP/1.1\r\nHost: x\r\nGit-Protocol: version=2\r\n"+
		"Content-Type: application/x-git-upload-pack-request\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	b.check(err)
	tick := time.NewTicker(time.Second / 4)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			_, err := io.ReadFull(conn, make([]byte, 4<<10))
			b.check(err)
		}
	}
}

// crowdedCache measures how much disk the cache takes while many different clones are made at once.
func crowdedCache(b *bench) []row {
	const clones, limit = 50, 200 << 20
	dir, tip := b.herdOrigin()
	d := b.start(`bundle_from = "0"`, fmt.Sprintf("cache_size = %d", limit))
	defer d.stop()
	d.post("m", dir)
	done := make(chan struct{})
	var peak int64
	var watch, all sync.WaitGroup
	watch.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				peak = max(peak, d.cacheDisk())
			}
		}
	})
	for range clones {
		line := unique()
		all.Go(func() { b.ask(d.url+"/m", tip, line) })
	}
	all.Wait()
	close(done)
	watch.Wait()
	note := fmt.Sprintf("%d MB at the peak, %d MB when they have ended", peak>>20, d.cacheDisk()>>20)
	return []row{{"disk of the cache under 50 different clones at once, over cache_size (200 MB) and 256 MiB", float64(peak) / (limit + 256<<20), "≤ 1", note}}
}

// cacheDisk is how many bytes of disk the cache takes, with the files that have lost their names and
// are still open.
func (d *daemon) cacheDisk() (bytes int64) {
	dir := filepath.Join(d.storage, ".sould", "cache")
	seen := make(map[uint64]bool)
	add := func(path string) {
		var info syscall.Stat_t
		if syscall.Stat(path, &info) == nil && info.Mode&syscall.S_IFMT == syscall.S_IFREG && !seen[info.Ino] {
			seen[info.Ino] = true
			bytes += info.Blocks * 512
		}
	}
	named, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, path := range named {
		add(path)
	}
	open, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", d.pid))
	for _, fd := range open {
		if target, err := os.Readlink(fd); err == nil && strings.HasPrefix(target, dir) {
			add(fd)
		}
	}
	return bytes
}
