package mirror

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/changes"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/units"
)

// Progress is how far a pull is. It is safe for concurrent use.
type Progress struct {
	began time.Time
	name  storage.Name
	moved *changes.Feed[storage.Name] // Store.moves

	mu    sync.Mutex // guards all below
	now   Step
	shown time.Time // when moved was last increased
}

// Step is what a pull does at one moment.
type Step struct {
	git.Progress
	From    string    // where it reads: "the origin" or "the peer x"; empty if it reads at no other place
	Since   time.Time // when the step began; the phases of a transfer are one step
	Waiting bool      // for its turn
}

// statusPace is how often a transfer that goes on counts as a change of the status, so that who
// watches the status is not woken up by each percent.
const statusPace = 2 * time.Second

// say records that a step begins.
func (p *Progress) say(words string) { p.begin(Step{Progress: git.Progress{Step: words}}) }

// wait records that the pull waits for its turn.
func (p *Progress) wait(words string) {
	p.begin(Step{Progress: git.Progress{Step: words}, Waiting: true})
}

// read records that a step begins that reads from a source.
func (p *Progress) read(words string, src Source) {
	p.begin(Step{Progress: git.Progress{Step: words}, From: src.String()})
}

func (p *Progress) begin(step Step) {
	step.Since = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now, p.shown = step, step.Since
	p.moved.Add(p.name)
}

// transferring records how far the current step is.
func (p *Progress) transferring(far git.Progress) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.Progress = far
	if now.Sub(p.shown) >= statusPace {
		p.shown = now
		p.moved.Add(p.name)
	}
}

// Now returns what the pull does now.
func (p *Progress) Now() Step {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

// String returns what the pull does, in words.
func (p *Progress) String() string { return p.Now().String() }

// logPace is how often the log tells of a pull that takes long.
const logPace = 30 * time.Second

// logUntil tells the log what the pull does every logPace, unless it waits for its turn, until
// stop is called, which may be more than once.
func (p *Progress) logUntil(log *slog.Logger) (stop func()) {
	over := make(chan struct{})
	var logging sync.WaitGroup
	logging.Go(func() {
		tick := time.NewTicker(logPace)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
			}
			if now := p.Now(); !now.Waiting {
				log := log.With("since", now.Since.UTC().Format(time.RFC3339), "took", units.FormatSeconds(time.Since(p.began)))
				if now.From != "" {
					log = log.With("from", now.From)
				}
				log.Info("a pull takes long", "step", now.String())
			}
		}
	})
	return sync.OnceFunc(func() {
		close(over)
		logging.Wait()
	})
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

// Began returns when the pull began.
func (p *Progress) Began() time.Time { return p.began }

// Pulling returns how far the pulls of that name are, the latest last.
func (s *Store) Pulling(name storage.Name) []*Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.running[name])
}

// Running returns the pulls that are running, the last one of each name.
func (s *Store) Running() map[storage.Name]*Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[storage.Name]*Progress, len(s.running))
	for name, running := range s.running {
		all[name] = running[len(running)-1]
	}
	return all
}

// Moves returns a number that changes with the steps of running pulls, and every statusPace of a
// long one.
func (s *Store) Moves() uint64 { return s.moves.Count() }

// AfterMoves returns a channel that is closed when Moves returns another number than this one.
func (s *Store) AfterMoves(moves uint64) <-chan struct{} { return s.moves.After(moves) }

// AfterMovesOf is AfterMoves for the pulls of one mirror.
func (s *Store) AfterMovesOf(name storage.Name, moves uint64) <-chan struct{} {
	return s.moves.AfterOf(name, moves)
}

// MovesSince returns the names of the mirrors of which pulls have made steps after Moves returned this
// number. If that is not known any more, ok is false.
func (s *Store) MovesSince(moves uint64) (names []storage.Name, ok bool) { return s.moves.Since(moves) }

// startProgress records that a pull is running, until end is called.
func (s *Store) startProgress(name storage.Name) (p *Progress, end func()) {
	p = &Progress{name: name, began: time.Now(), moved: &s.moves}
	p.wait("waiting to begin")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[name] = append(s.running[name], p)
	s.generation.Add(name)
	return p, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running[name] = slices.DeleteFunc(s.running[name], func(other *Progress) bool { return other == p })
		if len(s.running[name]) == 0 {
			delete(s.running, name)
		}
		s.generation.Add(name)
	}
}
