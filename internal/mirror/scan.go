package mirror

import (
	"errors"
	"runtime"
	"time"

	"github.com/reconquest/sould/internal/storage"
	"golang.org/x/sync/errgroup"
)

// scanInterval is the time between two scans of the storage. It is how long a mirror may go
// unnoticed that an operator has copied in or removed, and that nobody asks for. A reload scans
// at once.
const scanInterval = 30 * time.Second

// scanShare bounds the cost of scanning a slow storage: the pause between two scans is at least
// so many times as long as the scan.
const scanShare = 20

// Watch scans the storage again and again, until the server shuts down. Requests need not wait
// for it: a mirror is loaded when a request asks for it.
func (s *Store) Watch() {
	logged := ""
	for {
		began := time.Now()
		err := s.scan()
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

// Wake makes Watch scan at once.
func (s *Store) Wake() {
	select {
	case s.wake <- struct{}{}:
	default: // a scan is due already
	}
}

// scan finds all mirrors on disk, loads those that are not known, completes interrupted changes,
// and forgets mirrors that are gone. It also makes the missing ones of sould's own directories.
// It starts no process for a mirror that sould has pulled. The error says which directories of
// the storage cannot be read or made; why a mirror cannot be loaded, its status says.
func (s *Store) scan() error {
	s.scanning.Lock()
	defer s.scanning.Unlock()
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
	for _, m := range s.All() { // mirrors that were removed, or whose directory cannot be read now
		if !seen[m.Name] && s.life.Err() == nil {
			read(m.Name)
		}
	}
	_ = readers.Wait()
	if s.life.Err() == nil && !s.IsReady() {
		close(s.ready)
		s.generation.AddAll()
	}
	return err
}

// Ready returns a channel that is closed when the first scan has ended. Until then the server
// seems to lack mirrors that it has.
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

// read makes a mirror known as it is on disk. If the mirror cannot be read, it logs each reason
// once.
func (s *Store) read(name storage.Name) {
	m, err := s.find(name)
	if err == nil {
		before := m.Unreadable()
		if err = m.load(); err == nil {
			err = m.rereadIfChanged()
		} else if storage.IsFile(m.dir, "HEAD") || storage.IsFile(m.dir, storage.StateFile) { // else an operator may be copying it in
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

// rereadIfChanged makes known what an operator has changed in a mirror's refs by hand. It skips
// a mirror that is being pulled.
func (m *Mirror) rereadIfChanged() error {
	s := m.store
	if m.repo().HasStamp(m.Snapshot().stamp) || s.Progress(m.Name) != nil {
		return nil
	}
	lock, err := s.locks.Lock(s.life, m.Name)
	if err != nil {
		return nil // the server is shutting down
	}
	defer lock.Unlock()
	if m.checkIdentity() != nil {
		return nil // the next scan finds its replacement
	}
	if err = m.hold(s.options.Load(), lock).packRefs(s.life); err != nil {
		m.Suspect(err)
	}
	return err
}
