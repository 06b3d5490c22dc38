package tests

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

// removals are mirrors that a cluster's master is told to make, to remove, and some of
// them to make anew, while the network falls apart.
type removals struct {
	*cluster
	gone  []string // the master has removed them
	anew  []string // and has made them again
	whole int      // removals of which all servers have said that they are done
}

// newRemovals has all servers make two mirrors for the end.
func newRemovals(c *cluster) *removals {
	c.Helper()
	r := &removals{cluster: c, gone: []string{"gone/last"}, anew: []string{"anew/last"}}
	for _, name := range append(r.gone, r.anew...) {
		eventually(c.T, "all servers have "+name, func() bool { told, ok := r.post(name); return ok && told.Status == http.StatusOK })
	}
	return r
}

func (r *removals) post(name string) (report, bool) {
	return r.command(0, "POST", "/", form(name, r.still.url))
}

func (r *removals) work(end time.Time, rng *rand.Rand) {
	for n := 0; time.Now().Before(end) && !r.Failed(); n++ {
		name := fmt.Sprintf("gone/m%d", n)
		made, _ := r.post(name)
		removed, ok := r.command(0, "DELETE", "/"+name, nil)
		if !ok || removed.State != "success" { // it was not there
			continue
		}
		if removed.Status == http.StatusOK {
			r.whole++
			// A request to make it that was under way for long may come to a slave afterwards.
			if here := r.have(name); len(here) > 0 && made.Status == http.StatusOK {
				r.Errorf("%s was removed everywhere, and is on the servers %v", name, here)
			}
		}
		if rng.IntN(3) > 0 {
			r.gone = append(r.gone, name)
		} else if again, ok := r.post(name); ok && again.State == "success" {
			r.anew = append(r.anew, name)
		} // else nobody knows
	}
}

// last removes a mirror when the slaves cannot be reached, and makes it anew or not.
func (r *removals) last(name string, anew bool) {
	if told, _ := r.command(0, "DELETE", "/"+name, nil); told.Status != http.StatusBadGateway || told.State != "success" {
		r.Errorf("cut off from its slaves the master has not removed its mirror alone: %+v", told)
	}
	if anew && !within(patient, func() bool { told, ok := r.post(name); return ok && told.State == "success" }) {
		r.Errorf("the master alone does not make %s anew", name)
	}
}

// have are the servers that have a mirror.
func (r *removals) have(name string) (servers []int) {
	for i, d := range r.servers {
		if exists(d.mirror(name)) {
			servers = append(servers, i)
		}
	}
	return servers
}

// end checks that what was removed is gone everywhere, and what was made anew is there.
func (r *removals) end() {
	r.Helper()
	for _, name := range r.gone {
		eventually(r.T, name+" is gone everywhere", func() bool { return len(r.have(name)) == 0 })
	}
	for _, name := range r.anew {
		eventually(r.T, name+" is everywhere again", func() bool { return len(r.have(name)) == len(r.servers) })
		for _, d := range r.servers {
			if got, want := refs(r.T, d.mirror(name)), refs(r.T, r.still.Dir); got != want {
				r.Errorf("%s has\n%sthe origin\n%s", name, got, want)
			}
		}
	}
	r.Logf("%d mirrors were removed, %d of them from all at once; %d were made anew", len(r.gone)+len(r.anew), r.whole, len(r.anew))
}
