package ondemand

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/storage"
)

// Finder finds mirrors for readers, and has those made that a table has and that are not here. Its methods
// are safe for concurrent use.
type Finder struct {
	*Maker
	store *mirror.Store
}

// NewFinder returns a finder of a store's mirrors. What it has made has room in the bounds of a keeper, and
// what it has begun ends when life does.
func NewFinder(life context.Context, store *mirror.Store, room *Keeper, options *Options) *Finder {
	return &Finder{NewMaker(life, beginIn(store, room), store.PausedUntil, options), store}
}

// beginIn has pulls make mirrors in a store.
func beginIn(store *mirror.Store, room *Keeper) Begin {
	return func(req mirror.Request) (wait func(context.Context) error, err error) {
		if m, err := store.Get(req.Name); err == nil && m.MarkRead(time.Now()) { // it was made since the reader has looked
			return func(context.Context) error { return nil }, nil
		}
		if err := room.Room(req.Name); err != nil {
			return nil, err
		}
		run, err := store.Begin(req)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context) error {
			_, err := run.Wait(ctx)
			return err
		}, nil
	}
}

// Reader is who asks for a mirror.
type Reader struct {
	Address  string
	IsServer bool // another server, which gets what is here, and does not count as a reader
	Follows  bool // it can begin with a mirror that is being made
}

// Reading is what a reader gets: a mirror, or one that is being made, if the reader follows that.
type Reading struct {
	Mirror  *mirror.Mirror
	Growing *mirror.Growing
	Fresh   bool // the origin was just looked at for the reader
}

// Read finds the mirror that a reader asks for. If there is none and a table has the name, the mirror is
// made first, for which the reader waits. Another server that asks makes none: what it asks for, it has
// found here. The error is that of Find, a *Failure, or the cause of ctx's end.
func (f *Finder) Read(ctx context.Context, name storage.Name, by Reader) (Reading, error) {
	m, err := f.Find(name, by)
	if !errors.Is(err, mirror.ErrUnknown) || by.IsServer {
		return Reading{Mirror: m}, err
	}
	short := f.Maker.Mirror(name)
	if short != name {
		if m, err := f.Find(short, by); !errors.Is(err, mirror.ErrUnknown) {
			return Reading{Mirror: m}, err
		}
	}
	run, startErr := f.Start(short, by.Address)
	if errors.Is(startErr, mirror.ErrUnknown) {
		return Reading{}, err
	}
	if err = startErr; err == nil {
		var g *mirror.Growing
		if g, err = f.awaitMade(ctx, run, by); g != nil {
			return Reading{Growing: g}, nil
		}
	}
	m, gone := f.Find(short, by)
	if gone == nil { // also if the origin could not be reached: a peer had it
		return Reading{Mirror: m, Fresh: true}, nil
	}
	return Reading{}, cmp.Or(err, gone)
}

// Find finds a mirror that is here, and remembers that it was read. One that is just being removed, because
// nobody has read it for long, is not found any more. If there is none, the error is mirror.ErrUnknown; if
// it is being fetched for the first time, that is in a *[mirror.TooEarly]. It is an *Unreadable if the
// mirror cannot be read and something is known of it.
func (f *Finder) Find(name storage.Name, by Reader) (*mirror.Mirror, error) {
	m, err := f.store.Get(name)
	switch {
	case err == nil && !by.IsServer && !m.MarkRead(time.Now()):
		return nil, mirror.ErrUnknown
	case errors.Is(err, mirror.ErrUnknown):
		if f.store.Progress(name) != nil {
			err = &mirror.TooEarly{Err: fmt.Errorf("%w yet: it is being fetched for the first time", err)}
		}
	case err != nil:
		if known := f.store.LastKnown(name); known != nil {
			err = &Unreadable{err, known}
		}
	}
	return m, err
}

// Unreadable is why a mirror cannot be read, with what was last known of it.
type Unreadable struct {
	Err   error
	Known *mirror.Snapshot
}

func (u *Unreadable) Error() string { return u.Err.Error() }
func (u *Unreadable) Unwrap() error { return u.Err }

// awaitMade waits until the mirror of a first read is there or, if the reader follows it, until its refs are
// known.
func (f *Finder) awaitMade(ctx context.Context, run *Run, by Reader) (g *mirror.Growing, err error) {
	ctx, end := conn.WhileAlive(ctx, f.life)
	defer end()
	if !by.Follows {
		return nil, run.Wait(ctx)
	}
	looking, stop := context.WithCancel(ctx)
	listed := make(chan struct{})
	var look sync.WaitGroup
	look.Go(func() {
		if g = f.store.AwaitGrowing(looking, run.Name); g != nil {
			close(listed)
		}
	})
	err = run.WaitUnless(ctx, listed)
	stop()
	look.Wait()
	return g, err
}
