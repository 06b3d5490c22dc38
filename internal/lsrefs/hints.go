package lsrefs

import (
	"sync"
	"time"
)

// hints says, by the URL of an origin, what to try first. A wrong hint costs time, but the
// answer is right.
type hints struct {
	mu sync.Mutex // guards of
	of map[string]hint
}

type hint struct {
	v2     bool      // ask in version 2
	forGit time.Time // leave the origin to git until then; zero for not at all
	page   bool      // because it answers with a page for people
}

func (h hint) isForGit() bool { return time.Now().Before(h.forGit) }

const (
	// leaveTime is how long an origin is left to git after an unusual answer.
	leaveTime = 5 * time.Minute

	// maxHints is how many origins have a hint.
	maxHints = 16_384
)

func (h *hints) get(url string) hint {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.of[url]
}

func (h *hints) leaveToGit(url string, page bool) {
	h.set(url, hint{forGit: time.Now().Add(leaveTime), page: page})
}

func (h *hints) setV2(url string, v2 bool) { h.set(url, hint{v2: v2}) }

func (h *hints) set(url string, new hint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.of, url)
	if new == (hint{}) {
		return
	}
	for other := range h.of { // any of them
		if len(h.of) < maxHints {
			break
		}
		delete(h.of, other)
	}
	h.of[url] = new
}
