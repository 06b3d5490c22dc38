package download

import "fmt"

// Kind is why a client does not get what it wants.
type Kind int

const (
	NoRoom  Kind = iota // there is no room on disk to keep it
	NotKept             // a bundle of this id is not there any more
	Shallow             // the mirror lacks the history that a bundle needs
	NotARef             // a bundle is of refs, and a commit id was given
)

// Error is why a client does not get what it wants, in words for it.
type Error struct {
	Kind Kind
	err  error
}

func (e *Error) Error() string { return e.err.Error() }
func (e *Error) Unwrap() error { return e.err }

func fail(k Kind, format string, args ...any) error { return &Error{k, fmt.Errorf(format, args...)} }
