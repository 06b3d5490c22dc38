// Package prefetch remembers what clients ask for, and has it made as soon as it would be something
// else: the first client after a change finds it finished.
//
// A [Memory] knows what was asked for of each owner. What a change concerns is taken out of it, and
// becomes a job of a [Queue], whose one worker makes it. So what nobody asks for again is made ahead
// once and no more.
package prefetch

import (
	"sync"
	"time"
)

// maxAge is how long it is remembered that a client has asked for something.
const maxAge = 24 * time.Hour

// Memory is what clients have asked for lately, by owner and key. Its methods are safe for
// concurrent use.
type Memory[K comparable, V any] struct {
	perOwner, owners int

	mu sync.Mutex // guards by
	by map[string]map[K]*asked[V]
}

type asked[V any] struct {
	value V
	at    time.Time // when a client asked for it last
}

// NewMemory returns a memory for so many owners, and so many keys of each. Beyond that, the oldest key
// is forgotten, or all owners are.
func NewMemory[K comparable, V any](perOwner, owners int) *Memory[K, V] {
	return &Memory[K, V]{perOwner: perOwner, owners: owners, by: make(map[string]map[K]*asked[V])}
}

// Asked records that a client has asked for something. If that is new, create returns what is to be
// made, or false if it cannot be made ahead.
func (m *Memory[K, V]) Asked(owner string, key K, create func() (V, bool)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known := m.by[owner][key]; known != nil {
		known.at = time.Now()
		return
	}
	value, ok := create()
	if !ok {
		return
	}
	keys := m.by[owner]
	if keys == nil {
		if len(m.by) >= m.owners {
			clear(m.by)
		}
		keys = make(map[K]*asked[V])
		m.by[owner] = keys
	}
	if len(keys) >= m.perOwner {
		delete(keys, oldest(keys))
	}
	keys[key] = &asked[V]{value, time.Now()}
}

func oldest[K comparable, V any](keys map[K]*asked[V]) (found K) {
	var first time.Time
	for key, one := range keys {
		if first.IsZero() || one.at.Before(first) {
			found, first = key, one.at
		}
	}
	return found
}

// Take forgets what is stale of an owner, and returns what of that clients have asked for lately.
func (m *Memory[K, V]) Take(owner string, stale func(key K, value V) bool) (taken []V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, one := range m.by[owner] {
		if !stale(key, one.value) {
			continue
		}
		delete(m.by[owner], key)
		if time.Since(one.at) < maxAge {
			taken = append(taken, one.value)
		}
	}
	if len(m.by[owner]) == 0 {
		delete(m.by, owner)
	}
	return taken
}
