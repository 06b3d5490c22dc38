package mirror

import (
	"slices"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/storage"
)

// Progress is how far a pull is.
type Progress struct {
	began time.Time
	mu    sync.Mutex // guards text
	text  string
}

func (p *Progress) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = text
}

// String returns what the pull does, in words.
func (p *Progress) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text
}

// Progress returns how far the pull of that name is that began last, or nil if none is running.
func (s *Store) Progress(name storage.Name) *Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	if running := s.running[name]; len(running) > 0 {
		return running[len(running)-1]
	}
	return nil
}

// Running returns the names whose mirrors are being pulled.
func (s *Store) Running() map[storage.Name]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make(map[storage.Name]bool, len(s.running))
	for name := range s.running {
		names[name] = true
	}
	return names
}

// startProgress records that a pull is running, until end is called.
func (s *Store) startProgress(name storage.Name) (p *Progress, end func()) {
	p = &Progress{began: time.Now(), text: "waiting to begin"}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[name] = append(s.running[name], p)
	s.generation.Add(1)
	return p, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running[name] = slices.DeleteFunc(s.running[name], func(other *Progress) bool { return other == p })
		if len(s.running[name]) == 0 {
			delete(s.running, name)
		}
		s.generation.Add(1)
	}
}
