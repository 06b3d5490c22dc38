package mirror

import (
	"errors"
	"time"

	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/units"
)

// Room bounds what mirrors take on disk that reads have made.
type Room interface {
	// Limit returns how much such a mirror may take, in bytes; 0 for any number.
	Limit(name storage.Name) int64
	// Take makes room for one of that size, which is put in its place then; done must be called
	// afterwards, also if it was not. The error says why there is no room.
	Take(name storage.Name, size int64) (done func(), err error)
	// Exceeded is told of a transfer that was ended because more arrived than Limit permits.
	Exceeded(name storage.Name)
}

// TooLarge is why a mirror that reads make is not made, or gets nothing more.
type TooLarge struct {
	Limit int64 // bytes
}

func (t *TooLarge) Error() string {
	return "it takes more than " + units.FormatSize(t.Limit) + ", which is all that a mirror made on demand may take here: " +
		"raise max_size (or quota) of its [[ondemand]] in the configuration, or POST it"
}

// ErrNoRoom is why a mirror is not made that reads make: others that are in use have all the room.
var ErrNoRoom = errors.New("there is no room for another mirror")

// isRefusal reports whether a mirror is not made because of the bounds of such mirrors.
func isRefusal(err error) bool { return errors.Is(err, ErrNoRoom) || errors.As(err, new(*TooLarge)) }

// limit is the most that a transfer of this job may bring, in bytes; 0 for any number. A mirror that
// somebody has POSTed has no limit.
func (j *pullJob) limit() int64 {
	if j.room == nil {
		return 0
	}
	onDemand := j.req.OnDemand
	if m, err := j.Get(j.req.Name); err == nil {
		onDemand = m.Snapshot().OnDemand
	}
	if at, _ := j.wanted(j.req.Name); !onDemand || !at.IsZero() {
		return 0
	}
	return j.room.Limit(j.req.Name)
}

// place is Store.install for this job. A new mirror that a read makes needs room first.
func (j *pullJob) place(staging string, built *Mirror, expected storage.Identity, spare func(replaced string) bool) error {
	if expected == (storage.Identity{}) {
		done, err := j.takeRoom(built)
		if err != nil {
			return err
		}
		defer done()
	}
	return j.install(staging, built, expected, spare)
}

// takeRoom makes room for a mirror that this job has made in a directory; done must be called when it
// is in its place, or will not be.
func (j *pullJob) takeRoom(m *Mirror) (done func(), err error) {
	if j.room == nil || !m.Snapshot().OnDemand {
		return func() {}, nil
	}
	size, err := storage.Usage(m.dir)
	if err != nil {
		return nil, err
	}
	done, err = j.room.Take(m.Name, size)
	if errors.As(err, new(*TooLarge)) {
		j.room.Exceeded(m.Name)
	}
	return done, err
}

// ErrInUse means that a mirror is being read, pulled or asked for, or is not one that a read has made.
var ErrInUse = errors.New("the mirror is in use")

// Retire moves a mirror that a read has made to the trash, without a tombstone: the next read makes it
// again. It is not retired if somebody uses it or has asked for it within that time, or if it has
// another writer; then the error is ErrInUse. It returns the name of the directory in the trash.
func (s *Store) Retire(m *Mirror, within time.Duration) (trashed string, err error) {
	lock, ok := s.locks.TryLock(m.Name)
	if !ok {
		return "", ErrInUse
	}
	defer lock.Unlock()
	if err := s.checkCurrent(m); err != nil {
		return "", err
	}
	if !m.IsOnDemand() || !m.isQuiet(within) {
		return "", ErrInUse
	}
	m.reads.retired.Store(true)
	to, err := s.moveUnused(m, within)
	if err != nil {
		m.reads.retired.Store(false)
		return "", err
	}
	return storage.TrashedIn(to), s.dir.SyncTrash(m.Name, to)
}

// moveUnused moves a mirror to the trash if nobody has come since it was marked as retired.
func (s *Store) moveUnused(m *Mirror, within time.Duration) (to string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !m.isQuiet(within) || s.reserved[m.Name] != nil || s.running[m.Name] != nil || s.maintained[m.Name] {
		return "", ErrInUse
	}
	delete(s.byName, m.Name)
	s.mirrorsChanged(m.Name)
	return s.dir.MoveToTrash(m.Name, m.identity, time.Now())
}

// IsOnDemand reports whether a read has made the mirror, and nothing else has asked for it. Of one that
// cannot be loaded, its state file tells, if that can be read.
func (m *Mirror) IsOnDemand() bool {
	if snap := m.Snapshot(); snap != nil {
		return snap.OnDemand
	}
	if m.Unreadable() == "" {
		return false // it is just being loaded
	}
	state, err := readState(m.dir)
	return err == nil && state.OnDemand
}

// IsBroken reports whether the mirror cannot be read because of what is in it. One that cannot be read because the
// machine can start no process, say, is not broken.
func (m *Mirror) IsBroken() bool { return m.Snapshot() == nil && m.broken.Load() }

// InUse reports whether Retire would not retire the mirror because of its readers.
func (m *Mirror) InUse(within time.Duration) bool { return !m.isQuiet(within) }

// Usage returns what the mirror takes on disk, in bytes.
func (m *Mirror) Usage() (int64, error) { return storage.Usage(m.dir) }

// WasOnDemand reports whether a mirror in the trash was made by a read, and by nothing else.
func (s *Store) WasOnDemand(t storage.Trashed) bool {
	state, err := readState(t.Path)
	return err == nil && state.OnDemand
}
