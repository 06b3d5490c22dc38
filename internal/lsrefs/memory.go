package lsrefs

import (
	"sync"
	"time"
)

// memory is what is known of origins, by their URLs. It only says what is tried first: an origin
// that has changed since is answered for as well.
type memory struct {
	mu sync.Mutex // guards of
	of map[string]note
}

type note struct {
	modern bool      // ask in version 2
	until  time.Time // leave it to git until then; zero for not at all
}

func (n note) forGit() bool { return time.Now().Before(n.until) }

const (
	// leftTime is how long an origin is left to git that was for git.
	leftTime = 5 * time.Minute

	// maxNotes is of how many origins something is remembered.
	maxNotes = 4096
)

func (m *memory) get(url string) note {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.of[url]
}

func (m *memory) leave(url string) { m.set(url, note{until: time.Now().Add(leftTime)}) }

func (m *memory) setModern(url string, modern bool) { m.set(url, note{modern: modern}) }

func (m *memory) set(url string, n note) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.of, url)
	if n == (note{}) {
		return
	}
	for other := range m.of { // any one
		if len(m.of) < maxNotes {
			break
		}
		delete(m.of, other)
	}
	m.of[url] = n
}
