package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// window is how long servers are hammered at a time.
const window = time.Second

// finished starts a sould with a mirror of a repository and returns the address, and
// a file with the bytes that it serves.
func (b *bench) finished(url string) (d *daemon, addr, file string) {
	d = b.start()
	d.post("m", url)
	response, err := d.client.Get(d.url + "/m")
	b.check(err)
	defer response.Body.Close()
	file = filepath.Join(b.TempDir(), "archive.tar")
	f, err := os.Create(file)
	b.check(err)
	_, err = io.Copy(f, response.Body)
	b.check(err)
	b.check(f.Close())
	return d, strings.TrimPrefix(d.url, "http://"), file
}

func finishedBig(b *bench) []row {
	d, addr, file := b.finished(b.origin)
	defer d.stop()
	other, name := b.nginx(file)
	ratio, ours, theirs := b.compare(load.megabytes,
		func() load { return b.hammer(addr, "/m", "", 200, 16, window) },
		func() load { return b.hammer(other, "/archive.tar", "", 200, 16, window) })
	return []row{{"finished archive of 50 MB, 16 clients: throughput over " + name, ratio, "≥ 0.95", ours.megabytesText() + " / " + theirs.megabytesText()}}
}

// small makes a repository whose archive has 100 kB.
func (b *bench) small() *origin.Repo {
	r := origin.New(b, filepath.Join(b.TempDir(), "small.git"))
	files := make(map[string]string)
	for i := range 40 {
		files[fmt.Sprintf("conf/%02d.conf", i)] = strings.Repeat("setting = value\n", 120)
	}
	r.Commit("main", files)
	return r
}

func finishedSmall(b *bench) []row {
	r := b.small()
	d, addr, file := b.finished(r.Dir)
	defer d.stop()
	ours := func() load { return b.hammer(addr, "/m", "", 200, 16, window) }
	plain := b.alternative("serve-file", file)
	ratio, a, o := b.compare(load.perSecond, ours, func() load { return b.hammer(plain, "/", "", 200, 16, window) })
	rows := []row{{"finished archive of 100 kB, 16 connections: requests/s over a plain Go http.ServeContent", ratio, "≥ 0.85", a.perSecondText() + " / " + o.perSecondText()}}
	git := b.alternative("serve-git", r.Dir)
	ratio, a, o = b.compare(load.perSecond, ours, func() load { return b.hammer(git, "/", "", 200, 16, window) })
	return append(rows, row{"the same over one git archive per request", ratio, "≥ 30", a.perSecondText() + " / " + o.perSecondText()})
}

func notModified(b *bench) []row {
	d, addr, _ := b.finished(b.small().Dir)
	defer d.stop()
	response, err := http.Head(d.url + "/m")
	b.check(err)
	tag := "If-None-Match: " + response.Header.Get("Etag") + "\r\n"
	bare := b.alternative("serve-304", "-")
	ratio, ours, theirs := b.compare(load.perSecond,
		func() load { return b.hammer(addr, "/m", tag, 304, 16, window) },
		func() load { return b.hammer(bare, "/", tag, 304, 16, window) })
	return []row{{"304: requests/s over a bare Go handler that answers 304", ratio, "≥ 0.75", ours.perSecondText() + " / " + theirs.perSecondText()}}
}

// pushed is a sould with a mirror of a repository that can be pushed to.
type pushed struct {
	*daemon
	repo   *origin.Repo
	mirror string
	n      int
	tip    string
}

// pushed starts one whose cache is full most of the time, as it is after some days:
// new files take the place of old ones. On a virtual machine it also matters that
// memory which was never used before is slow at first.
func (b *bench) pushed() *pushed {
	p := &pushed{daemon: b.start(`cache_size = "200MiB"`), repo: b.own()}
	p.post("m", p.repo.Dir)
	p.mirror = filepath.Join(p.storage, "m")
	return p
}

// push makes a commit and has it pulled.
func (p *pushed) push() {
	p.n++
	p.tip = p.repo.Commit("main", map[string]string{"new": fmt.Sprint(p.n)})
	p.post("m", p.repo.Dir)
}

func firstGet(b *bench) []row {
	p := b.pushed()
	defer p.stop()
	var size int64
	ratio, ours, theirs := b.pairs(
		p.push,
		func() { size = p.get(fmt.Sprintf("/m?ref=%s&prefix=%d", p.tip, p.n)) },
		func() {
			b.git("--git-dir="+p.mirror, "archive", "--format=tar", fmt.Sprintf("--prefix=%d/", p.n), "main")
		},
	)
	note := fmt.Sprintf("%s / %s, %d MB", ms(ours), ms(theirs), size>>20)
	return []row{{"first GET of an archive over git archive to a pipe", ratio, "≤ 1.15", note}}
}

func firstAtOnce(b *bench) []row {
	p := b.pushed()
	defer p.stop()
	n := 0
	first := func() string { n++; return fmt.Sprintf("/m?prefix=at-once-%d", n) }
	ratio, ours, theirs := b.pairs(func() {},
		func() {
			path := first()
			var clients sync.WaitGroup
			for range 16 {
				clients.Go(func() { p.get(path) })
			}
			clients.Wait()
		},
		func() { p.get(first()) })
	return []row{{"16 first GETs at once over one alone", ratio, "≤ 1.5", ms(ours) + " / " + ms(theirs)}}
}

func madeAhead(b *bench) []row {
	p := b.pushed()
	defer p.stop()
	p.get("/m")
	ratio, ours, theirs := b.pairs(
		func() {
			p.push()
			for { // until it is finished
				response, err := http.Head(p.url + "/m")
				b.check(err)
				if response.ContentLength > 0 {
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
		},
		func() { p.get("/m") },
		func() { p.get("/m") })
	return []row{{"first GET after a push (made ahead) over a second one", ratio, "≤ 1.5", ms(ours) + " / " + ms(theirs)}}
}

func firstZstd(b *bench) []row {
	p := b.pushed()
	defer p.stop()
	n := 0
	var ourSize, theirSize int64
	ratio, ours, theirs := b.pairs(func() { n++ },
		func() { ourSize = p.get(fmt.Sprintf("/m?format=tar.zst&prefix=%d", n)) },
		func() { theirSize = b.gitPipe(p.mirror, fmt.Sprintf(" --prefix=%d/ | zstd -3 -q", n)) })
	note := fmt.Sprintf("%s / %s, %.1f MB / %.1f MB", ms(ours), ms(theirs), float64(ourSize)/1e6, float64(theirSize)/1e6)
	return []row{{"first GET of a tar.zst over git archive | zstd -3", ratio, "≤ 1.1", note}}
}

// manyFiles makes a repository of 70,000 small files.
func (b *bench) manyFiles() *origin.Repo {
	r := origin.New(b, filepath.Join(b.TempDir(), "many.git"))
	var s strings.Builder
	s.WriteString("commit refs/heads/main\ncommitter T <t@example.org> 1000000000 +0000\ndata 1\nx\n")
	for i := range 70_000 {
		text := fmt.Sprintf("name = host-%d\nport = %d\n", i, 1024+i%1000)
		fmt.Fprintf(&s, "M 100644 inline hosts/%03d/%05d.conf\ndata %d\n%s\n", i%700, i, len(text), text)
	}
	r.Import(s.String())
	return r
}

// firstZip compares a format that compresses each file by itself with one that
// compresses all of them together.
func firstZip(b *bench) []row {
	d := b.start()
	defer d.stop()
	d.post("m", b.manyFiles().Dir)
	n := 0
	first := func(format string) func() {
		return func() { d.get(fmt.Sprintf("/m?format=%s&prefix=%d", format, n)) }
	}
	ratio, ours, theirs := b.pairs(func() { n++ }, first("zip"), first("tar.gz"))
	return []row{{"first GET of a zip of 70,000 small files over that of a tar.gz", ratio, "≤ 3", ms(ours) + " / " + ms(theirs)}}
}

// readers has 500 clients read one archive, half of which take nothing in.
func readers(b *bench) []row {
	d := b.start()
	defer d.stop()
	d.post("m", b.origin)
	const n = 500
	var clients sync.WaitGroup
	var most float64
	stop := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				most = max(most, b.resident(d.pid))
			}
		}
	}()
	for i := range n {
		conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
		b.check(err)
		defer conn.Close()
		_, err = fmt.Fprintf(conn, "GET /m HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		b.check(err)
		if i%2 == 0 {
			clients.Go(func() {
				_, err := io.Copy(io.Discard, conn)
				b.check(err)
			})
		}
	}
	clients.Wait()
	close(stop)
	<-watched
	return []row{{"resident memory (MB) with 500 readers of 50 MB, half of them stalled", most, "≤ 80", "from the first byte of the archive on"}}
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
