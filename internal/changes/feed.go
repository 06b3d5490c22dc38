package changes

import "sync"

// Feed counts the changes of many things together, and knows of each when it has changed last: who has seen
// all of them once can ask for those that have changed since, and who waits for one is not woken by the
// others. The zero value is ready for use. It is safe for concurrent use.
type Feed[K comparable] struct {
	all Counter

	mu      sync.Mutex // guards all below
	last    map[K]uint64
	floor   uint64              // what has changed up to this count is not known any more
	waiting map[K]chan struct{} // closed with the next change of the key
}

// maxKeys is how many things a feed remembers the last changes of. Of more, the older half is forgotten.
const maxKeys = 1 << 17

// Add records a change of a thing.
func (f *Feed[K]) Add(key K) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last == nil {
		f.last = make(map[K]uint64)
	}
	if f.last[key] = f.all.Add(); len(f.last) > maxKeys {
		f.forget()
	}
	if next := f.waiting[key]; next != nil {
		close(next)
		delete(f.waiting, key)
	}
}

// forget forgets the older half of the changes. f.mu is held.
func (f *Feed[K]) forget() {
	f.floor += (f.all.Count() - f.floor) / 2
	for key, n := range f.last {
		if n <= f.floor {
			delete(f.last, key)
		}
	}
}

// AddAll records a change that may concern every thing.
func (f *Feed[K]) AddAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.floor = f.all.Add()
	f.last = nil
	for _, next := range f.waiting {
		close(next)
	}
	f.waiting = nil
}

// Count returns how many changes there have been.
func (f *Feed[K]) Count() uint64 { return f.all.Count() }

// After returns a channel that is closed once there have been more changes than seen, or fewer.
func (f *Feed[K]) After(seen uint64) <-chan struct{} { return f.all.After(seen) }

// AfterOf returns a channel that is closed once a thing has changed after seen changes.
func (f *Feed[K]) AfterOf(key K, seen uint64) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last[key] > seen || f.floor > seen || f.all.Count() < seen {
		return closed
	}
	next := f.waiting[key]
	if next == nil {
		if f.waiting == nil {
			f.waiting = make(map[K]chan struct{})
		}
		next = make(chan struct{})
		f.waiting[key] = next
	}
	return next
}

// Since returns the things that have changed after seen changes. If that is not known, ok is false: then
// each of them may have changed.
func (f *Feed[K]) Since(seen uint64) (changed []K, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if seen < f.floor || seen > f.all.Count() {
		return nil, false
	}
	for key, n := range f.last {
		if n > seen {
			changed = append(changed, key)
		}
	}
	return changed, true
}
