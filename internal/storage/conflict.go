package storage

import "fmt"

// Conflict says why a mirror cannot be created or updated as asked: an existing mirror
// contradicts the request.
type Conflict struct{ reason string }

// Conflictf makes a *Conflict.
func Conflictf(format string, args ...any) error {
	return &Conflict{fmt.Sprintf(format, args...)}
}

func (c *Conflict) Error() string { return c.reason }
