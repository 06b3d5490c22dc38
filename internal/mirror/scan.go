package mirror

import (
	"errors"
	"runtime"
	"time"

	"github.com/reconquest/sould/internal/storage"
	"golang.org/x/sync/errgroup"
)

// scanInterval is the time between two scans of the storage: so long may it take
// until a mirror that was copied in or removed by hand, and that nobody asks for, is
// noticed. A reload scans at once.
const scanInterval = 30 * time.Second

// scanShare bounds what scanning costs in a storage that takes long to look through: the
// pause between two scans is at least so many times as long as the scan.
const scanShare = 20

// Watch reads all mirrors that there are, and then looks from time to time what there
// is. Nobody need wait for it: a mirror that is asked for meanwhile is read first. It
// ends with the server.
func (s *Store) Watch() {
	logged := ""
	for {
		began := time.Now()
		err := s.Scan()
		if s.life.Err() != nil {
			return
		}
		text := ""
		if err != nil {
			text = err.Error()
		}
		if err != nil && text != logged {
			s.log.Error("can't look through the storage", "err", err)
		}
		logged = text
		pause := time.NewTimer(max(scanInterval, scanShare*time.Since(began)))
		select {
		case <-s.life.Done():
		case <-s.wake:
		case <-pause.C:
		}
		pause.Stop()
	}
}

// Wake has Watch scan at once.
func (s *Store) Wake() {
	select {
	case s.wake <- struct{}{}:
	default: // it is about to
	}
}

// Scan finds all mirrors on disk, reads those that are not known, completing what was
// interrupted, and forgets those that are gone. What is sould's own is put in order as
// well. It starts no process for a mirror that sould has pulled. What is wrong with a single
// mirror stands in its status; the error says which parts of the storage cannot be read, or
// made.
func (s *Store) Scan() error {
	s.looking.Lock()
	defer s.looking.Unlock()
	if err := s.CheckStorage(); err != nil {
		return err
	}
	var readers errgroup.Group
	readers.SetLimit(2 * runtime.NumCPU())
	read := func(name storage.Name) {
		readers.Go(func() error {
			s.read(name)
			return nil
		})
	}
	seen := make(map[storage.Name]bool)
	err := s.dir.EnsureDirs()
	err = errors.Join(err, s.dir.Names(func(name storage.Name) {
		if s.life.Err() == nil {
			seen[name] = true
			read(name)
		}
	}))
	for _, m := range s.All() { // that were removed, or are on what can't be read now
		if !seen[m.Name] && s.life.Err() == nil {
			read(m.Name)
		}
	}
	_ = readers.Wait()
	if s.life.Err() == nil && !s.IsReady() {
		close(s.ready)
		s.generation.Add(1)
	}
	return err
}

// Ready is closed when all of the storage was looked through since the start: before, the
// server would seem to lack what it has.
func (s *Store) Ready() <-chan struct{} { return s.ready }

// IsReady reports whether Ready is closed.
func (s *Store) IsReady() bool {
	select {
	case <-s.ready:
		return true
	default:
		return false
	}
}

// read makes a mirror known as it is on disk, and tells the log, once, if it cannot be
// read.
func (s *Store) read(name storage.Name) {
	m, err := s.find(name)
	if err == nil {
		before := m.Unreadable()
		if err = m.load(); err == nil {
			err = m.notice()
		} else if storage.IsFile(m.Dir, "HEAD") || storage.IsFile(m.Dir, storage.StateFile) { // else somebody may just be copying it in
			m.Suspect(err)
		}
		if err != nil && before == err.Error() {
			return
		}
	}
	if err != nil && !errors.Is(err, ErrUnknown) && s.life.Err() == nil {
		s.log.Error("can't read a mirror", "mirror", name, "err", err)
	}
}

// notice makes known what somebody has done to a mirror's refs by hand. What is being
// pulled is left alone.
func (m *Mirror) notice() error {
	s := m.store
	if m.Snapshot().stamp == m.repo().Stamp() || s.Progress(m.Name) != nil {
		return nil
	}
	lock, err := s.locks.Lock(s.life, m.Name)
	if err != nil {
		return nil // the server is shutting down
	}
	defer lock.Unlock()
	if m.same() != nil {
		return nil // the next scan finds another one
	}
	if err = m.hold(s.options.Load(), lock).packRefs(s.life); err != nil {
		m.Suspect(err)
	}
	return err
}
