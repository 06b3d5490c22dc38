package metrics

import (
	"sync/atomic"

	"golang.org/x/sys/cpu"
)

// Sent counts bytes that were sent, without headers, and archives that clients had already. Each
// answer changes it, so that it has cache lines of its own: what stands beside it is only read.
type Sent struct {
	_                        cpu.CacheLinePad
	Archives, Packs, Bundles atomic.Uint64
	Unmodified               atomic.Uint64
	_                        cpu.CacheLinePad
}

// Rejected counts the requests that were answered with an error, by its reason. The map never
// changes.
type Rejected map[string]*atomic.Uint64

// NewRejected returns counters for these reasons, of which some may be equal.
func NewRejected(reasons ...string) Rejected {
	all := make(Rejected, len(reasons))
	for _, reason := range reasons {
		all[reason] = new(atomic.Uint64)
	}
	return all
}

// Count counts a request. A reason without a counter is not counted.
func (r Rejected) Count(reason string) {
	if n := r[reason]; n != nil {
		n.Add(1)
	}
}
