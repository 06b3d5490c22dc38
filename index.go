package main

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/storage"
)

// lookInterval is the time between two looks through the storage: so long may it take
// until a mirror that was copied in or removed by hand, and that nobody asks for, is
// noticed. A reload looks at once.
const lookInterval = 30 * time.Second

// lookShare bounds what looking costs in a storage that takes long to look through: the
// pause between two looks is at least so many times as long as the look.
const lookShare = 20

// Watch reads all mirrors that there are, and then looks from time to time what there
// is. Nobody need wait for it: a mirror that is asked for meanwhile is read first. It
// ends with the server.
func (ms *Mirrors) Watch(current func() *settings) {
	logged := ""
	for {
		began := time.Now()
		err := ms.Look(current())
		if ms.life.Err() != nil {
			return
		}
		text := ""
		if err != nil {
			text = err.Error()
		}
		if err != nil && text != logged {
			ms.log.Error("can't look through the storage", "err", err)
		}
		logged = text
		pause := time.NewTimer(max(lookInterval, lookShare*time.Since(began)))
		select {
		case <-ms.life.Done():
		case <-ms.wake:
		case <-pause.C:
		}
		pause.Stop()
	}
}

// Wake has Watch look at once.
func (ms *Mirrors) Wake() {
	select {
	case ms.wake <- struct{}{}:
	default: // it is about to
	}
}

// Look finds all mirrors on disk, reads those that are not known, completing what was
// interrupted, and forgets those that are gone. What is sould's own is put in order as
// well. It starts no process for a mirror that sould has pulled. What is wrong with a single
// mirror stands in its status; the error says which parts of the storage cannot be read, or
// made.
func (ms *Mirrors) Look(set *settings) error {
	ms.looking.Lock()
	defer ms.looking.Unlock()
	names := make(chan storage.Name)
	var readers sync.WaitGroup
	for range 2 * runtime.NumCPU() {
		readers.Go(func() {
			for name := range names {
				ms.read(set, name)
			}
		})
	}
	seen := make(map[storage.Name]bool)
	err := ms.storage.EnsureDirs()
	err = errors.Join(err, ms.storage.Names(func(name storage.Name) {
		if ms.life.Err() == nil {
			seen[name] = true
			names <- name
		}
	}))
	for _, m := range ms.All() { // that were removed, or are on what can't be read now
		if !seen[m.Name] && ms.life.Err() == nil {
			names <- m.Name
		}
	}
	close(names)
	readers.Wait()
	if ms.life.Err() == nil && !ms.Looked() {
		close(ms.looked)
		ms.generation.Add(1)
	}
	return err
}

// read makes a mirror known as it is on disk, and tells the log, once, if it cannot be
// read.
func (ms *Mirrors) read(set *settings, name storage.Name) {
	m, err := ms.find(set, name)
	if err == nil {
		before := m.unreadable.Load()
		if err = m.load(ms.life, set); err == nil {
			err = ms.notice(set, m)
		} else if storage.IsFile(m.Dir, "HEAD") || storage.IsFile(m.Dir, storage.StateFile) { // else somebody may just be copying it in
			ms.Suspect(set, m, err)
		}
		if err != nil && before != nil && *before == err.Error() {
			return
		}
	}
	if err != nil && !errors.Is(err, errUnknownMirror) && ms.life.Err() == nil {
		ms.log.Error("can't read a mirror", "mirror", name, "err", err)
	}
}

// notice makes known what somebody has done to a mirror's refs by hand. What is being
// pulled is left alone.
func (ms *Mirrors) notice(set *settings, m *Mirror) error {
	repo := set.git.Repo(m.Dir)
	if m.Snapshot().stamp == repo.Stamp() || ms.Progress(m.Name) != nil {
		return nil
	}
	end, err := ms.turns.take(ms.life, m.Name)
	if err != nil {
		return nil // the server is shutting down
	}
	defer end()
	if m.same() != nil {
		return nil // the next look finds another one
	}
	if err = ms.settle(ms.life, set, m, repo); err != nil {
		ms.Suspect(set, m, err)
	}
	return err
}

// settle settles a mirror whose turn it is, if anything is to be done for that.
func (ms *Mirrors) settle(ctx context.Context, set *settings, m *Mirror, repo git.Repo) error {
	if m.settled && repo.Stamp() == m.stamp {
		return nil
	}
	ms.turns.clear(m.Name)
	return m.settle(ctx, set, repo)
}

// All returns the mirrors that are known, sorted by name. One that was not read yet, or
// cannot be, has no snapshot. The slice is shared and must not be changed.
func (ms *Mirrors) All() []*Mirror {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if ms.sorted == nil {
		ms.sorted = make([]*Mirror, 0, len(ms.byName))
		for _, m := range ms.byName {
			ms.sorted = append(ms.sorted, m)
		}
		slices.SortFunc(ms.sorted, func(a, b *Mirror) int { return a.Name.Compare(b.Name) })
	}
	return ms.sorted
}

// Looked reports whether all of the storage was looked through since the start.
func (ms *Mirrors) Looked() bool {
	select {
	case <-ms.looked:
		return true
	default:
		return false
	}
}

// Generation is another number each time after anything that the status tells of
// mirrors has changed. Whoever wants to know whether something has changed since he
// looked must ask for it before he looks.
func (ms *Mirrors) Generation() uint64 { return ms.generation.Load() }

// remade notes that the set of mirrors has changed; ms.mu is held.
func (ms *Mirrors) remade() {
	ms.sorted = nil
	ms.generation.Add(1)
}

// show makes a snapshot the one that readers see.
func (m *Mirror) show(s *Snapshot) {
	m.snapshot.Store(s)
	m.unreadable.Store(nil)
	m.changed()
}

// cannotRead notes why a mirror could not be read.
func (m *Mirror) cannotRead(reason error) {
	text := reason.Error()
	if old := m.unreadable.Swap(&text); old == nil || *old != text {
		m.changed()
	}
}

func (m *Mirror) changed() {
	if m.generation != nil { // not while it is built
		m.generation.Add(1)
	}
}
