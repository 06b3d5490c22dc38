package main

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

const (
	renderers       = 500 // that wait for news
	watchedMirrors  = 20
	answersMeasured = 5 // pushes
)

// longPolls measures renderers that wait for a push with If-None-Match and wait, each with a connection of
// its own: those that wait for one mirror, beside pushes to others, and those that wait for any.
func longPolls(b *bench) (rows []row) {
	for _, c := range []struct{ what, path string }{
		{"of one mirror", "/x/status?format=json&wait=60s&progress=0&upstream=0&name=m00"},
		{"of one mirror and its slaves'", "/x/status?format=json&wait=60s&name=m00"},
		{"of all, on a master with two slaves", "/x/status?format=json&wait=60s"},
	} {
		rows = append(rows, b.longPolls(c.what, c.path)...)
	}
	return rows
}

func (b *bench) longPolls(what, path string) []row {
	slaves := []*daemon{b.start(), b.start()}
	master := b.start("master = true", fmt.Sprintf("slaves = [%q, %q]", slaves[0].url, slaves[1].url))
	defer func() {
		for _, d := range append(slaves, master) {
			d.finish()
		}
	}()
	var all []*origin.Repo
	for i := range watchedMirrors {
		r := origin.New(b, filepath.Join(b.TempDir(), "r.git"))
		r.Commit("main", map[string]string{"f": "1"})
		master.post(fmt.Sprintf("m%02d", i), r.Dir)
		all = append(all, r)
	}
	var tip atomic.Value // that all wait for
	tip.Store(all[0].Git("rev-parse", "main"))
	var answers atomic.Int64
	have := make(chan time.Time, renderers)
	var running sync.WaitGroup
	over := make(chan struct{})
	for range renderers {
		running.Go(func() { b.render(master.url+path, &tip, &answers, have, over) })
	}
	last := func() (at time.Time) {
		for range renderers {
			if one := <-have; one.After(at) {
				at = one
			}
		}
		return at
	}
	last()
	b.settle(master)
	resident := b.resident(master.pid)
	var times []time.Duration
	before, cpu := answers.Load(), b.cpuOfAll(master.pid)
	for range answersMeasured {
		other := all[1]
		other.Commit("main", map[string]string{"f": fmt.Sprint(time.Now())})
		master.post("m01", other.Dir) // just before
		tip.Store(all[0].Commit("main", map[string]string{"f": fmt.Sprint(time.Now())}))
		master.post("m00", all[0].Dir)
		pushed := time.Now()
		times = append(times, max(last().Sub(pushed), 0))
		resident = max(resident, b.resident(master.pid))
		b.settle(master)
	}
	each := float64(answers.Load()-before) / answersMeasured / renderers
	note := fmt.Sprintf("%.1f answers a renderer and push, %.0f ms of CPU a push", each, milliseconds(b.cpuOfAll(master.pid)-cpu)/answersMeasured)
	close(over)
	tip.Store("")
	all[0].Commit("main", map[string]string{"f": "the last"})
	master.post("m00", all[0].Dir)
	running.Wait()
	return []row{
		{fmt.Sprintf("%d long polls %s: from the push's 200 to the last answer (s)", renderers, what), median(times).Seconds(), "≤ 1", note},
		{"the same: resident memory (MB)", resident, "≤ 60", ""},
	}
}

// settle waits until all renderers wait.
func (b *bench) settle(d *daemon) {
	for {
		answer, err := d.client.Get(d.url + "/x/metrics")
		b.check(err)
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		b.check(err)
		if _, rest, ok := strings.Cut(string(text), "\nsould_connections{state=\"answering\"} "); ok {
			var n int
			if _, err := fmt.Sscan(rest, &n); err == nil && n > renderers {
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// render waits for each new tip, and says when it has it, until over is closed.
func (b *bench) render(url string, tip *atomic.Value, answers *atomic.Int64, have chan<- time.Time, over <-chan struct{}) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	etag, seen := "", ""
	for {
		r, err := http.NewRequest(http.MethodGet, url, nil)
		b.check(err)
		r.Header.Set("If-None-Match", etag)
		answer, err := client.Do(r)
		b.check(err)
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		b.check(err)
		select {
		case <-over:
			return
		default:
		}
		answers.Add(1)
		if etag = answer.Header.Get("Etag"); answer.StatusCode != http.StatusOK {
			continue
		}
		if now := tip.Load().(string); now != seen && strings.Contains(string(body), now) {
			seen = now
			have <- time.Now()
		}
	}
}
