package tests

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// TestPartitions: a master and two slaves that are peers of each other, in a network
// whose links are cut and healed at random, under pushes, forced ones among them, under
// deletions that a server must be told to accept, and while mirrors are removed. What an
// answer claims is true at that moment, no server goes back, no reader waits for longer
// than the patience, and in the end all servers are the same.
func TestPartitions(t *testing.T) {
	t.Parallel()
	c := newCluster(t, seeded(t))
	removals, rng := newRemovals(c), c.random()
	end := time.Now().Add(shortOrLong(8*time.Second, 2*time.Minute))
	read := len(c.repos) / 2 // the others are kept up to date by POSTs and repair alone
	var work sync.WaitGroup
	for _, r := range c.repos {
		rng := c.random()
		work.Go(func() {
			for time.Now().Before(end) && !t.Failed() {
				c.pushAndPost(r, rng)
			}
		})
	}
	for server := range c.servers {
		rng := c.random()
		work.Go(func() {
			for range time.Tick(10 * time.Millisecond) {
				if !time.Now().Before(end) || t.Failed() {
					return
				}
				c.read(server, c.repos[rng.IntN(read)])
			}
		})
	}
	work.Go(func() { removals.work(end, rng) })
	c.disturb(end, c.random())
	work.Wait()
	c.scatter(c.random(), removals)
	c.healAll()
	if t.Failed() {
		return
	}

	// Who was told that no server could pull posts again. All else happens by itself.
	again := 0
	for _, r := range c.repos {
		if !r.settled {
			again++
			eventually(t, "some server can pull "+r.name, func() bool { c.post(0, r); return r.settled })
		}
	}
	began := time.Now()
	for _, r := range c.repos {
		want := refs(t, r.Dir)
		for i, d := range c.servers {
			eventually(t, fmt.Sprintf("server %d has %s as the origin does", i, r.name), func() bool {
				return exists(d.mirror(r.name)) && refs(t, d.mirror(r.name)) == want
			})
		}
	}
	took := time.Since(began)
	for _, r := range c.repos {
		for _, d := range c.servers {
			d.fsck(r.name)
			eventually(t, "the fingerprints are equal", func() bool {
				return d.status("&upstream=0&name=" + r.name).Mirrors[0].Fingerprint ==
					c.servers[0].status("&upstream=0&name=" + r.name).Mirrors[0].Fingerprint
			})
		}
	}
	removals.end()
	t.Logf("%d cuts; %d pushes, %d forced; POSTs by status: %v; %d claims checked; %d times many refs went; %d archives, the slowest after %s; "+
		"%d mirrors were posted again; the same after %s",
		c.cuts, c.pushes.Load(), c.forced.Load(), &c.statuses, c.claims.Load(), c.accepted.Load(), c.archives.Load(),
		time.Duration(c.slowest.Load()), again, took)
	if late := c.late.Load(); late > 0 && 20*late > c.archives.Load() {
		t.Errorf("%d of %d archives were late", late, c.archives.Load())
	}
	if c.claims.Load() == 0 || c.archives.Load() == 0 || c.cuts == 0 || c.forced.Load() == 0 || c.accepted.Load() == 0 {
		t.Error("nothing was put to the test")
	}
}

// cluster is what is tested: servers, of which the first is the master, and repositories.
type cluster struct {
	*testing.T
	network network
	servers []*daemon
	repos   []*pushedRepo
	still   *pushedRepo // that nobody pushes to
	seeds   *rand.Rand

	cuts     int // owned by disturb, and by scatter after it
	statuses tally
	pushes   atomic.Int64
	forced   atomic.Int64 // of the pushes
	accepted atomic.Int64 // deletions of many refs, by the master
	claims   atomic.Int64 // that a server has something
	archives atomic.Int64
	late     atomic.Int64 // of the archives: those that took longer than the patience and the slack
	slowest  atomic.Int64 // archive, in nanoseconds
}

// Times of the servers' configuration, short so that much happens in a test.
const (
	clusterPatience = 500 * time.Millisecond
	clusterSlack    = 4 * time.Second // for a machine that is busy with all this; it may be busier for a moment
)

func newCluster(t *testing.T, seeds *rand.Rand) *cluster {
	t.Helper()
	c := &cluster{T: t, seeds: seeds, statuses: tally{n: make(map[int]int)}}
	c.network = newNetwork(t, 4)
	root := t.TempDir()
	server := origin.ServeHTTPOn(t, root, c.network.listen(t))
	var slow sync.Mutex // guards rng
	rng := c.random()
	server.Before(func(q *http.Request) { // so that pulls overtake each other
		slow.Lock()
		wait := time.Duration(rng.IntN(1000)) * time.Millisecond * time.Duration(rng.IntN(5)/4)
		slow.Unlock()
		pause(q.Context(), wait)
	})
	for i := range 6 {
		r := newPushedRepo(t, root, server.URL, fmt.Sprintf("pool/r%d", i))
		if r.drops = i%3 == 2; r.drops {
			r.drop()
		}
		c.repos = append(c.repos, r)
	}
	c.still = newPushedRepo(t, root, server.URL, "still")
	for machine := 1; machine <= 3; machine++ {
		var others []string
		for other := 1; other <= 3; other++ {
			if other != machine {
				others = append(others, c.network.address(machine, other))
			}
		}
		lines := []string{
			fmt.Sprintf("listen = %q", c.network.address(machine, machine)), peers(others...), tokenLine,
			`repair = "500ms"`, `retry = "300ms"`, `timeout = "2s"`, `list_timeout = "1500ms"`, `fetch_timeout = "5s"`,
			fmt.Sprintf("patience = %q", clusterPatience),
		}
		if machine == 1 {
			lines = append(lines, "master = true", slaves(others...))
		}
		d := prepare(t, lines...)
		c.network.place(d, machine)
		d.run()
		c.servers = append(c.servers, d)
	}
	return c
}

// random are random numbers for one worker.
func (c *cluster) random() *rand.Rand {
	return rand.New(rand.NewPCG(c.seeds.Uint64(), c.seeds.Uint64()))
}

// scatter has one server alone pull the latest push of every other repository, and the
// master alone remove mirrors, and accept that many refs go. It cannot say then that all is
// well.
func (c *cluster) scatter(rng *rand.Rand, removals *removals) {
	c.healAll()
	loser := c.repos[2]
	if !loser.many() {
		loser.drop()
	}
	eventually(c.T, "all servers have many refs", func() bool { return c.post(0, loser) == http.StatusOK })
	for a := 1; a < 4; a++ {
		for b := 1; b < a; b++ {
			c.cut(a, b, silent)
		}
	}
	var posting sync.WaitGroup
	posting.Go(func() { removals.last("gone/last", false) })
	posting.Go(func() { removals.last("anew/last", true) })
	for i := 0; i < len(c.repos); i += 2 {
		server := rng.IntN(3) * min(i, 1)
		posting.Go(func() {
			c.repos[i].push()
			status := c.post(server, c.repos[i])
			// On a busy machine it may take the origin for one that is down.
			for end := time.Now().Add(patient); i == 0 && status == http.StatusServiceUnavailable && time.Now().Before(end); {
				status = c.post(server, c.repos[i])
			}
			if i == 0 && status != http.StatusBadGateway {
				c.Errorf("cut off from its slaves the master says %d", status)
			}
		})
	}
	posting.Wait()
	// Now that no connection to a slave is open any more. What had been sent by one would
	// still arrive, and the slaves are to hear of this by repair.
	loser.drop()
	c.post(0, loser)
}

// pause is time that passes, or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// disturb cuts links and heals them.
func (c *cluster) disturb(end time.Time, rng *rand.Rand) {
	for !c.Failed() {
		pause(c.Context(), min(time.Duration(100+rng.IntN(900))*time.Millisecond, time.Until(end)))
		if !time.Now().Before(end) {
			return
		}
		a, how := rng.IntN(4), cutting(rng.IntN(int(cuttings)))
		b := (a + 1 + rng.IntN(3)) % 4
		switch rng.IntN(6) {
		case 0, 1:
			c.cut(a, b, how)
		case 2: // one machine from all
			for other := range 4 {
				c.cut(a, other, how)
			}
		case 3: // two from the other two
			for _, one := range []int{a, b} {
				for other := range 4 {
					if other != a && other != b {
						c.cut(one, other, how)
					}
				}
			}
		case 4:
			c.network.heal(a, b)
		case 5:
			c.healAll()
		}
	}
}

func (c *cluster) cut(a, b int, how cutting) {
	if a == b {
		return
	}
	c.cuts++
	c.network.cut(a, b, how)
	if c.reaches(max(a, b), min(a, b)) {
		c.Errorf("machine %d reaches machine %d although their link is cut", max(a, b), min(a, b))
	}
}

// reaches reports whether a server's machine gets any answer from another machine, soon.
func (c *cluster) reaches(from, to int) bool {
	ctx, cancel := context.WithTimeout(c.Context(), 100*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+c.network.address(from, to)+"/x/health", nil)
	if err != nil {
		c.Error(err)
		return false
	}
	response, err := c.network.client(from).Do(r)
	if err != nil {
		return false
	}
	response.Body.Close()
	return true
}

func (c *cluster) healAll() {
	for a := range 4 {
		for b := range a {
			c.network.heal(a, b)
		}
	}
}
