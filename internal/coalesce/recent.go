package coalesce

import (
	"slices"
	"sync"
	"time"
)

// Recent remembers the requests that have lately come to this server, by their ids. The zero
// value is ready for use.
type Recent[T any] struct {
	mu    sync.Mutex // guards all below
	by    map[string]recentOne[T]
	queue []string // the ids, in the order in which they came
}

type recentOne[T any] struct {
	came  time.Time
	value T
}

// Bounds of what is remembered: copies of a request come within moments.
const (
	maxRecent  = 4096
	recentTime = 10 * time.Minute
)

// Enter returns the value that is remembered of a request. If there is none, it remembers the
// one that create makes.
func (r *Recent[T]) Enter(id string, now time.Time, create func() T) (value T, again bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if one, ok := r.by[id]; ok && now.Sub(one.came) < recentTime {
		return one.value, true
	}
	r.forget(id)
	for len(r.queue) > 0 && (len(r.queue) >= maxRecent || now.Sub(r.by[r.queue[0]].came) >= recentTime) {
		delete(r.by, r.queue[0])
		r.queue = r.queue[1:]
	}
	if r.by == nil {
		r.by = map[string]recentOne[T]{}
	}
	r.by[id] = recentOne[T]{now, create()}
	r.queue = append(r.queue, id)
	return r.by[id].value, false
}

// Leave forgets a request.
func (r *Recent[T]) Leave(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(id)
}

func (r *Recent[T]) forget(id string) {
	if _, ok := r.by[id]; ok {
		delete(r.by, id)
		r.queue = slices.DeleteFunc(r.queue, func(other string) bool { return other == id })
	}
}
