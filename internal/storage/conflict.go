package storage

import "fmt"

// Conflict is the reason for which a mirror cannot be created or updated as asked: what is
// there already stands against it.
type Conflict struct{ reason string }

// Conflictf makes a *Conflict of words.
func Conflictf(format string, args ...any) error {
	return &Conflict{fmt.Sprintf(format, args...)}
}

func (c *Conflict) Error() string { return c.reason }
