package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// twins are slaves that say that they have what a master has, and count how often they
// are asked, and how often for all of it.
func (b *bench) twins(n int, master func() *daemon, asked, whole *atomic.Int64) string {
	var text atomic.Pointer[[]byte]
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Etag", `"1"`)
		if r.Header.Get("If-None-Match") == `"1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		whole.Add(1)
		if text.Load() == nil {
			response, err := http.Get(master().url + "/x/status?format=json&upstream=0")
			b.check(err)
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			b.check(err)
			_, rest, _ := strings.Cut(string(body), `"id":"`) // it is not the master itself
			body = []byte(strings.Replace(string(body), `"id":"`+rest[:1], `"id":"-`, 1))
			text.Store(&body)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(*text.Load())
	})
	return b.serve(n, handler)
}

// serve serves in this process at several addresses. It returns the line of
// configuration that makes them slaves.
func (b *bench) serve(n int, handler http.Handler) string {
	var addresses []string
	for range n {
		server := httptest.NewServer(handler)
		b.Cleanup(server.Close)
		addresses = append(addresses, fmt.Sprintf("%q", strings.TrimPrefix(server.URL, "http://")))
	}
	return "slaves = [" + strings.Join(addresses, ", ") + "]"
}

// cpu is the time that a process has spent on the CPU, and cpuOfAll that with its children that
// have ended (proc(5), stat).
func (b *bench) cpu(pid int) time.Duration      { return b.ticks(pid, 11, 12) }
func (b *bench) cpuOfAll(pid int) time.Duration { return b.ticks(pid, 11, 12, 13, 14) }

func (b *bench) ticks(pid int, fields ...int) (sum time.Duration) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	b.check(err)
	_, rest, _ := strings.Cut(string(text), ") ")
	all := strings.Fields(rest)
	for _, i := range fields {
		n, err := strconv.Atoi(all[i])
		b.check(err)
		sum += time.Duration(n) * 10 * time.Millisecond // clock ticks
	}
	return sum
}

func repairRound(b *bench) []row {
	storage, _ := b.storageOfMany()
	b.startOn(storage).finish() // so that all of it was read once
	var asked, whole atomic.Int64
	var d *daemon
	const slaves = 10
	ready := make(chan bool)
	line := b.twins(slaves, func() *daemon { <-ready; return d }, &asked, &whole)
	d = b.startOn(storage, "master = true", line, `repair = "200ms"`)
	for d.loading() {
		time.Sleep(10 * time.Millisecond)
	}
	close(ready)
	defer d.finish()
	for whole.Load() < slaves || asked.Load() < 10*slaves { // until there is nothing to do
		time.Sleep(10 * time.Millisecond)
	}
	requests, wholes, spent := asked.Load(), whole.Load(), b.cpu(d.pid)
	time.Sleep(10 * time.Second)
	requests, wholes, spent = asked.Load()-requests, whole.Load()-wholes, b.cpu(d.pid)-spent
	rounds := float64(requests) / slaves
	note := fmt.Sprintf("%.0f rounds, %d of %d answers were not 304, %.0f MB resident", rounds, wholes, requests, b.resident(d.pid))
	return []row{{"CPU of one repair round, 10 slaves × 10,000 mirrors, nothing changed (ms)", milliseconds(spent) / rounds, "≤ 50", note}}
}

func fanOutToMany(b *bench) []row {
	r := origin.New(b, filepath.Join(b.TempDir(), "r.git"))
	r.Commit("main", map[string]string{"f": "1"})
	line := b.fakes(1000, 100*time.Millisecond, func(time.Duration) {})
	d := b.start("master = true", line, "repair = 0")
	defer d.finish()
	d.post("m", r.Dir)
	var times []time.Duration
	for range min(b.n, 20) {
		times = append(times, timed(func() { d.post("m", r.Dir) }))
	}
	return []row{
		{"POST to a master with 1,000 slaves that take 100 ms (ms)", milliseconds(median(times)), "≤ 500", "the slaves run on the same two CPUs"},
		{"resident memory after it (MB)", b.resident(d.pid), "≤ 100", ""},
	}
}
