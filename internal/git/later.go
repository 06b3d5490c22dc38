package git

import (
	"errors"
	"regexp"
	"time"
)

// RetryAfter returns for how long the server that has caused an error asks to be left alone; 0 if it
// does not ask. It is a second at least, and an hour at most.
func RetryAfter(err error) time.Duration {
	e := (*Error)(nil)
	switch {
	case !errors.As(err, &e):
		return 0
	case e.RetryAfter == 0 && e.Err == nil && tooMany.MatchString(quoted.ReplaceAllString(e.Stderr, "''")):
		return unsaidWait // git does not tell what the header said
	default:
		return e.RetryAfter
	}
}

// unsaidWait is how long a server is left alone that says "too many requests", if git has not told
// until when.
const unsaidWait = time.Minute

var tooMany = regexp.MustCompile(`returned error: 429`)

// IsServerDown reports whether an error says that a server cannot be reached, does not answer, or is
// in trouble itself, so that its other repositories cannot be had either.
func IsServerDown(err error) bool {
	e := (*Error)(nil)
	if !errors.As(err, &e) || IsLocalFault(err) {
		return false
	}
	return e.Err != nil || serverDown.MatchString(quoted.ReplaceAllString(e.Stderr, "''"))
}

var serverDown = regexp.MustCompile(`(?i)could not resolve|(failed|couldn't|unable|could not) (to )?connect|` +
	`connect to host .* port |connection (refused|timed out|reset)|timed out|no route to host|network is unreachable|` +
	`empty reply from server|returned error: 5[0-9][0-9]`)
