package uploadpack

import (
	"context"
	"sync"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/limiter"
)

// greetings caches what git advertises of its abilities, by the version of the protocol. git is
// asked for the first mirror that a client reads, and its answer is used for all others.
type greetings struct {
	asking limiter.Limiter // has one place: for the caller that asks git

	mu    sync.Mutex // guards all below
	known map[greetingKey]git.Greeting
	age   int // how often forget was called
}

type greetingKey struct{ version, idLength int }

// newGreetings returns an empty cache.
func newGreetings() *greetings {
	g := &greetings{known: make(map[greetingKey]git.Greeting)}
	g.asking.Resize(1)
	return g
}

// forget empties the cache, because another git may be installed now.
func (g *greetings) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.known)
	g.age++
}

// get returns git's greeting for a version of the protocol and a length of object ids. If it is not
// cached, advertise runs git on a repository; other callers wait for that.
func (g *greetings) get(
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
		g.add(key, greeting, age)
	}
	return greeting, err
}

// find returns a cached greeting, and the age of the cache for add.
func (g *greetings) find(key greetingKey) (known git.Greeting, age int, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	known, ok = g.known[key]
	return known, g.age, ok
}

// add caches a greeting, unless forget was called since find.
func (g *greetings) add(key greetingKey, greeting git.Greeting, age int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.age == age {
		g.known[key] = greeting
	}
}
