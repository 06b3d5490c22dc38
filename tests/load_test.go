package tests

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// TestLoad has 200 readers of archives, half of which take in nothing, 16 clones at 16 kB/s,
// and five POSTs a second that bring something new, on 20 mirrors. Nothing fails, memory stays
// bounded, and a clone of a tiny mirror does not wait for anybody. The long form also judges
// how long a warm GET takes beside all that.
func TestLoad(t *testing.T) {
	if !soak() {
		t.Parallel()
	}
	const mirrors, readers, postEvery = 20, 200, time.Second / 5
	const slowClones = 16
	const mostMemory, slower = 150 << 10, 10 // kB; times
	var repos []*origin.Repo
	files := map[string]string{"dir/small": "small"}
	for i := range 4 {
		files[fmt.Sprintf("big%d", i)] = noise(i, 300_000)
	}
	for range mirrors {
		r := newOrigin(t)
		r.Commit("main", files)
		repos = append(repos, r)
	}
	d := start(t)
	for i, r := range repos {
		d.pulled(fmt.Sprintf("m%d", i), r.Dir)
		d.get(fmt.Sprintf("/m%d", i)).expect(t, 200)
	}
	tiny := newOrigin(t)
	d.pulled("tiny", tiny.Dir)
	keeping := &http.Client{Timeout: patient, Transport: &http.Transport{MaxIdleConnsPerHost: readers}}
	defer keeping.CloseIdleConnections()
	warm := d.url + "/m0?path=dir&ref=" + d.get("/m0?path=dir").Header.Get("X-Revision")
	get := func(url string) (time.Duration, int64, error) {
		began := time.Now()
		response, err := keeping.Get(url)
		if err != nil {
			return 0, 0, err
		}
		defer response.Body.Close()
		n, err := io.Copy(io.Discard, response.Body)
		if err == nil && response.StatusCode != 200 {
			err = fmt.Errorf("%s", response.Status)
		}
		return time.Since(began), n, err
	}
	measure := func(until func() bool) (took []time.Duration) {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for len(took) == 0 || !until() { // however long it took to come here
			one, _, err := get(warm)
			if err != nil {
				t.Errorf("a warm GET: %v", err)
				break
			}
			took = append(took, one)
			<-tick.C
		}
		slices.Sort(took)
		return took
	}
	count := 0
	idle := measure(func() bool { count++; return count > 100 })
	p50 := percentile(idle, 50)

	end := time.Now().Add(shortOrLong(5*time.Second, 3*time.Minute))
	over := func() bool { return !time.Now().Before(end) || t.Failed() }
	var all sync.WaitGroup
	var reads, posts, peak atomic.Int64
	for i := range readers {
		if i%2 == 0 {
			all.Go(func() { stall(t, d, fmt.Sprintf("/m%d", i%mirrors), end) })
			continue
		}
		all.Go(func() { // takes in an archive each second, not all of them at the same moment
			<-time.NewTimer(time.Duration(i) * time.Second / readers).C
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for ; !over(); <-tick.C {
				if _, n, err := get(fmt.Sprintf("%s/m%d", d.url, (i+int(reads.Load()))%mirrors)); err != nil || n < 1_000_000 {
					t.Errorf("a reader: %d bytes, %v", n, err)
				}
				reads.Add(1)
			}
		})
	}
	for i := range slowClones {
		conn := d.ask(fmt.Sprintf("m%d", i%mirrors), repos[i%mirrors].Git("rev-parse", "main"))
		all.Go(func() {
			_ = conn.SetReadDeadline(end)
			if err := slowly(conn); !errors.Is(err, os.ErrDeadlineExceeded) && !soak() { // the long form sees their ends
				t.Errorf("a slow clone: %v", err)
			}
		})
	}
	var cloned int
	all.Go(func() {
		for ; !over(); cloned++ {
			d.clone("2", "tiny")
		}
	})
	var pushing sync.Mutex // a repository takes one push at a time
	all.Go(func() {
		tick := time.NewTicker(postEvery)
		defer tick.Stop()
		for n := 0; !over(); n++ {
			i := n % mirrors
			all.Go(func() {
				pushing.Lock()
				repos[i].Commit("main", map[string]string{"new": fmt.Sprint(n)})
				pushing.Unlock()
				a, err := d.try("POST", "/", form(fmt.Sprintf("m%d", i), repos[i].Dir), "Content-Type", formType)
				if err != nil || a.StatusCode != 200 {
					t.Errorf("a POST: %v %s", err, a.text())
				}
				posts.Add(1)
			})
			peak.Store(max(peak.Load(), int64(d.kernel("VmRSS"))))
			<-tick.C
		}
	})
	took := measure(over)
	all.Wait()
	p99 := percentile(took, 99)
	t.Logf("%d archives, %d POSTs, %d tiny clones; %d warm GETs: p50 idle %s, under load %s, p99 %s; %d MB resident",
		reads.Load(), posts.Load(), cloned, len(took), p50, percentile(took, 50), p99, peak.Load()>>10)
	if soak() && !raceEnabled && p99 > slower*p50 {
		t.Errorf("p99 of a warm GET is %s, p50 idle %s", p99, p50)
	}
	if !raceEnabled && peak.Load() > mostMemory {
		t.Errorf("%d MB resident", peak.Load()>>10)
	}
	for i, r := range repos {
		name := fmt.Sprintf("m%d", i)
		d.get("/"+name).expect(t, 200, "X-Revision", r.Git("rev-parse", "main"), "X-State", "success")
	}
	d.fsck("m0")
}

// percentile is the time of a sorted list that so many percent of it do not exceed; 0 if there is none.
func percentile(took []time.Duration, percent int) time.Duration {
	if len(took) == 0 {
		return 0
	}
	return took[len(took)*percent/100]
}

// stall is a reader that asks and takes in nothing, and comes again when it is given
// up.
func stall(t *testing.T, d *daemon, path string, end time.Time) {
	for time.Now().Before(end) {
		c, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
		if err != nil {
			t.Errorf("a stalled reader: %v", err)
			return
		}
		_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
		one := make([]byte, 1)
		_ = c.SetReadDeadline(end)
		if _, err := c.Read(one); err == nil && one[0] != 'H' {
			t.Errorf("a stalled reader: %q", one)
		}
		idle := time.NewTimer(min(time.Until(end), 70*time.Second)) // longer than the daemon waits
		<-idle.C
		c.Close()
	}
}
