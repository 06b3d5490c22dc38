package cluster

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/tally"
)

// Propagation is what was passed on to a slave since the slave was configured: requests of clients,
// and those that repair a difference.
type Propagation struct {
	Slave                       protocol.Address
	Success, Failed, Unfinished tally.Counts // a slave that is still at work after the timeout is unfinished
}

// propagations counts what was passed on, by slave. The zero value is empty.
type propagations struct {
	mu sync.Mutex                    // guards by
	by map[string]*slavePropagations // by the slave's URL
}

type slavePropagations struct {
	slave                       protocol.Address
	success, failed, unfinished tally.Durations
}

// keep counts for these slaves, and forgets all others.
func (p *propagations) keep(slaves []protocol.Address) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.by
	p.by = make(map[string]*slavePropagations)
	for _, slave := range slaves {
		url := slave.URL()
		if p.by[url] != nil {
			continue // it is named twice
		}
		if p.by[url] = old[url]; p.by[url] == nil {
			p.by[url] = &slavePropagations{}
		}
		p.by[url].slave = slave
	}
}

// record counts how a request to a slave has ended.
func (p *propagations) record(slave protocol.Address, state protocol.State, took time.Duration) {
	p.mu.Lock()
	counts := p.by[slave.URL()]
	p.mu.Unlock()
	if counts == nil { // a reload has removed the slave meanwhile
		return
	}
	switch state {
	case protocol.Success:
		counts.success.Add(took)
	case protocol.Failed:
		counts.failed.Add(took)
	default: // at work, perhaps for another server
		counts.unfinished.Add(took)
	}
}

// Propagations returns what was passed on to each slave up to now, sorted by the slaves' URLs.
func (c *Client) Propagations() (all []Propagation) {
	p := &c.propagations
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.by {
		all = append(all, Propagation{one.slave, one.success.Counts(), one.failed.Counts(), one.unfinished.Counts()})
	}
	slices.SortFunc(all, func(a, b Propagation) int { return cmp.Compare(a.Slave.URL(), b.Slave.URL()) })
	return all
}

// Comparison is what the latest comparison with another server has found.
type Comparison struct {
	Server    protocol.Address
	IsSlave   bool
	Reachable bool          // it has answered the latest time
	Lag       time.Duration // since the last time when there was no difference; 0 if there is none now
	Behind    int           // mirrors that the slave has to pull or remove
	Ahead     int           // mirrors that the slave has newer than this server
	Missing   int           // mirrors that only the other server has

	Repaired, Unrepaired uint64 // differences that were removed, and tries that have failed
}

// comparison records what a comparer finds. Of a server that cannot be asked it is not known, and
// what was found before stays.
type comparison struct {
	began time.Time // when the comparer was made

	mu                     sync.Mutex // guards all below
	itself                 bool       // the latest time it was this very server that answered
	reachable              bool
	equal                  time.Time // when there was no difference; zero for never
	behind, ahead, missing int
	repaired, unrepaired   uint64
}

func (c *comparison) failed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.itself, c.reachable = false, false
}

// foundItself records that there is no other server at the address.
func (c *comparison) foundItself() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.itself = true
}

func (c *comparison) isItself() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.itself
}

// found records the differences that a comparison which began at that time has found.
func (c *comparison) found(began time.Time, behind, ahead, missing int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.itself = false
	c.reachable, c.behind, c.ahead, c.missing = true, behind, ahead, missing
	if behind+ahead+missing == 0 {
		c.equal = began
	}
}

// tried counts a difference that was removed or, if err is not nil, could not be.
func (c *comparison) tried(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.repaired++
	} else {
		c.unrepaired++
	}
}

// same records that there is still no difference.
func (c *comparison) same(began time.Time) { c.found(began, 0, 0, 0) }

// at returns what is known at a moment. A server has no lag as long as the latest comparison could
// be made and has found no difference.
func (c *comparison) at(now time.Time) (latest Comparison) {
	c.mu.Lock()
	defer c.mu.Unlock()
	latest = Comparison{
		Reachable: c.reachable, Behind: c.behind, Ahead: c.ahead, Missing: c.missing,
		Repaired: c.repaired, Unrepaired: c.unrepaired,
	}
	if !c.reachable || c.behind+c.ahead+c.missing > 0 {
		since := c.equal
		if since.IsZero() {
			since = c.began
		}
		latest.Lag = max(now.Sub(since), 0)
	}
	return latest
}

// Comparisons returns what was found of each other server that this one compares itself with, sorted
// by their URLs.
func (rc *Reconciler) Comparisons() (all []Comparison) {
	now, known := time.Now(), rc.client.current.Load().itself
	rc.mu.Lock()
	defer rc.mu.Unlock()
	for url, c := range rc.comparers {
		if c.latest.isItself() || known.has(url) {
			continue
		}
		one := c.latest.at(now)
		one.Server, one.IsSlave = c.address, c.slave
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b Comparison) int { return cmp.Compare(a.Server.URL(), b.Server.URL()) })
	return all
}
