package main

import (
	"slices"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/storage"
)

// progress is how far a pull is.
type progress struct {
	began time.Time
	mu    sync.Mutex // guards text
	text  string
}

func (p *progress) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = text
}

func (p *progress) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text
}

// Progress returns how far the latest pull of that name is that is running, or nil.
func (ms *Mirrors) Progress(name storage.Name) *progress {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if going := ms.going[name]; len(going) > 0 {
		return going[len(going)-1]
	}
	return nil
}

// Going returns the names of all pulls that are running.
func (ms *Mirrors) Going() map[storage.Name]bool {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	names := make(map[storage.Name]bool, len(ms.going))
	for name := range ms.going {
		names[name] = true
	}
	return names
}

// begin notes that a pull is running, until end is called.
func (ms *Mirrors) begin(name storage.Name) (p *progress, end func()) {
	p = &progress{began: time.Now(), text: "waiting to begin"}
	ms.mu.Lock()
	defer ms.mu.Unlock()
	ms.going[name] = append(ms.going[name], p)
	ms.generation.Add(1)
	return p, func() {
		ms.mu.Lock()
		defer ms.mu.Unlock()
		ms.going[name] = slices.DeleteFunc(ms.going[name], func(other *progress) bool { return other == p })
		if len(ms.going[name]) == 0 {
			delete(ms.going, name)
		}
		ms.generation.Add(1)
	}
}
