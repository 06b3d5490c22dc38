package smarthttp

import (
	"context"
	"sync"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/limiter"
)

// Greetings remember what git can do, by the version of its protocol. Git says so for the
// first mirror that is asked for, and is believed for the others.
type Greetings struct {
	asking limiter.Limiter // for the one who asks git

	mu    sync.Mutex // guards all below
	known map[greetingKey]git.Greeting
	age   int // how often all were forgotten
}

type greetingKey struct{ version, idLength int }

// NewGreetings returns greetings of which none is known yet.
func NewGreetings() *Greetings {
	g := &Greetings{known: make(map[greetingKey]git.Greeting)}
	g.asking.Resize(1)
	return g
}

// Forget has git asked again: there may be another one now.
func (g *Greetings) Forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.known)
	g.age++
}

// Get returns the greeting of a version, for object ids of that length. If it is not known,
// advertise has git advertise a repository. One asks at a time, and all wait for it.
func (g *Greetings) Get(
	ctx context.Context, version, idLength int, advertise func(ctx context.Context, version int) ([]byte, error),
) (git.Greeting, error) {
	key := greetingKey{version, idLength}
	if known, _, ok := g.find(key); ok {
		return known, nil
	}
	if err := g.asking.Acquire(ctx, ""); err != nil {
		return git.Greeting{}, err
	}
	defer g.asking.Release()
	known, age, ok := g.find(key)
	if ok {
		return known, nil
	}
	advert, err := advertise(ctx, version)
	if err != nil {
		return git.Greeting{}, err
	}
	greeting, err := git.NewGreeting(advert, version, idLength)
	if err == nil {
		g.remember(key, greeting, age)
	}
	return greeting, err
}

// find returns a greeting that is known. age tells whether all were forgotten since.
func (g *Greetings) find(key greetingKey) (known git.Greeting, age int, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	known, ok = g.known[key]
	return known, g.age, ok
}

// remember keeps a greeting, unless it is of a git that was to be forgotten meanwhile.
func (g *Greetings) remember(key greetingKey, greeting git.Greeting, age int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.age == age {
		g.known[key] = greeting
	}
}
