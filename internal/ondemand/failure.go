package ondemand

import (
	"errors"
	"fmt"
	"time"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/publicnet"
	"github.com/reconquest/sould/internal/storage"
)

// Kind is why there is no mirror for a reader.
type Kind int

const (
	Broken       Kind = iota // this server could not make it
	Illegal                  // no origin has the path
	Forbidden                // this server may not read the origin
	NoRepository             // the origin has none, or none for this server
	Nested                   // the name lies inside a mirror or above one, or a DELETE or a reload came meanwhile
	OriginDown               // the origin could not be reached
	TooLarge                 // it takes more than max_size or the quota permits
	Full                     // the quota is full of mirrors that are in use
	Later                    // it is still being made, or waits in line
)

// Failure is why there is no mirror for a reader.
type Failure struct {
	Kind  Kind
	Until time.Time // the failure is remembered; zero if it is not
	Again time.Time // before, nobody need ask again: as Until, or when the origin's host wants to be asked
	name  storage.Name
	err   error
}

func (f *Failure) Error() string { return f.err.Error() }
func (f *Failure) Unwrap() error { return f.err }

// failure makes a failure of the error of a run that was to make a mirror of an origin.
func failure(name storage.Name, from origin.URL, err error) *Failure {
	f := &Failure{name: name, err: err}
	switch {
	case errors.Is(err, publicnet.ErrPrivate):
		f.Kind, f.err = Forbidden, fmt.Errorf("there is no such mirror, and none can be made: %w", err)
	case errors.As(err, new(*mirror.TooLarge)):
		f.Kind, f.err = TooLarge, fmt.Errorf("there is no such mirror, and none can be made: %w", err)
	case errors.As(err, new(*NoRoom)):
		f.Kind = Full
	case git.IsRefused(err): // whose words are for the operator, and in the log
		f.Kind, f.err = NoRepository, fmt.Errorf("there is no such mirror, and none can be made: there is no repository at %s, or none that this server may read", from)
	case errors.Is(err, mirror.ErrUnknown):
		f.Kind = Nested
	case errors.As(err, new(*storage.Conflict)):
		f.Kind, f.err = Nested, fmt.Errorf("there is no such mirror, and none can be made: %s", errtext.Line(err.Error()))
	case errors.Is(err, limiter.ErrBusy):
		f.Kind = Later
	case mirror.IsUnreachable(err):
		f.Kind, f.err = OriginDown, fmt.Errorf("the mirror can't be made now: %w", err)
	default:
		f.err = fmt.Errorf("the mirror can't be made: %w", err)
	}
	return f
}

// lasts reports whether a failure holds for who asks again in a moment: what is about the name or about
// this server can change at once, and is found out without the origin.
func (f *Failure) lasts() bool {
	return f.Kind == NoRepository || f.Kind == TooLarge || f.Kind == Forbidden || f.Kind == OriginDown || f.Kind == Broken && !errors.Is(f.err, mirror.ErrClosing)
}
