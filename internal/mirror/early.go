package mirror

import (
	"context"
	"errors"
	"time"
)

// ErrStarting is why it is not known yet which mirrors there are.
var ErrStarting = errors.New("the first look at the storage is not over yet")

// TooEarly is why there is not yet what will be there in a moment.
type TooEarly struct{ Err error }

func (t *TooEarly) Error() string { return t.Err.Error() }
func (t *TooEarly) Unwrap() error { return t.Err }

// AwaitReady waits until the first scan has ended, for a moment. The error is a *TooEarly, or that of ctx.
func (s *Store) AwaitReady(ctx context.Context, moment time.Duration) error {
	if s.IsReady() {
		return nil
	}
	timer := time.NewTimer(moment)
	defer timer.Stop()
	select {
	case <-s.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return &TooEarly{ErrStarting}
	}
}
