package webhook

import (
	"maps"
	"sync"
)

// Result is what became of a delivery.
type Result string

const (
	Accepted Result = "accepted" // work has begun for it
	Repeated Result = "repeated" // it has come before
	Ignored  Result = "ignored"  // there is nothing to do for it; pings, too
	Refused  Result = "refused"  // it was not signed with the hook's secret
	Unusable Result = "unusable" // it cannot be read, or tells of what changes no mirror
	Unknown  Result = "unknown"  // no mirror follows its repository
	Failed   Result = "failed"   // the work for it could not begin
)

// Count is of deliveries of one hook.
type Count struct {
	Hook   string
	Result Result
}

// Counts counts deliveries. The zero value is ready for use.
type Counts struct {
	mu sync.Mutex // guards by
	by map[Count]uint64
}

// add counts a delivery of a hook that is configured: others would make the memory grow.
func (c *Counts) add(hook string, result Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = make(map[Count]uint64)
	}
	c.by[Count{hook, result}]++
}

// Stats returns how many deliveries there were.
func (c *Counts) Stats() map[Count]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.by)
}
