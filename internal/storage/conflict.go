package storage

import "fmt"

// Conflict says why a mirror cannot be created or updated as asked: an existing mirror
// contradicts the request.
type Conflict struct{ reason error }

// Conflictf makes a *Conflict.
func Conflictf(format string, args ...any) error {
	return &Conflict{fmt.Errorf(format, args...)}
}

func (c *Conflict) Error() string { return c.reason.Error() }
func (c *Conflict) Unwrap() error { return c.reason }
