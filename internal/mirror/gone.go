package mirror

import (
	"context"
	"time"

	"github.com/reconquest/sould/internal/storage"
)

// MarkGone records that the origin of a mirror was deleted, as somebody says. The mirror stays; the
// next pull that reaches the origin takes the mark away. The error may be ErrUnknown.
func (s *Store) MarkGone(ctx context.Context, name storage.Name, at time.Time, by string) error {
	lock, err := s.locks.Lock(ctx, name)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	m, err := s.Get(name)
	if err != nil {
		return err
	}
	return m.hold(s.options.Load(), lock).update(func(state *stateFile) { state.Gone, state.GoneBy = at, by })
}
