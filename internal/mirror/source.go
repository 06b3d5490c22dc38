package mirror

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/storage"
)

// Source is where a pull reads. The zero value is the mirror's origin; others are replicas
// that stand in for it.
type Source struct {
	Peer   string     // how people name the replica; empty for the origin
	Remote git.Remote // how git reads it; not for the origin

	ReachedOrigin bool      // since it was asked, at Asked
	Asked         time.Time // when it was asked to pull
	Pulled        time.Time // when it was last pulled successfully; zero for never

	// What it has announced of the mirror; it is not believed if it shows anything else.
	Revision    string
	Fingerprint refs.Fingerprint

	// Renew has it pull again, since its origin was pushed to in between.
	Renew func(context.Context) (Source, error)
}

// Query is what is asked of a fallback.
type Query struct {
	Name       storage.Name
	Origin     origin.URL
	Move       origin.URL // the origin that replicas may have instead; not Known for none
	Accept     refs.Acceptance
	Refs       []refs.Pattern // what the pull takes: a replica must have all of it
	OriginDown bool           // that is known: no replica need be asked to look
	Have       Have           // what was here when the origin could not be reached
	Damaged    func() bool    // whether what is here is known to be damaged by now
}

// Have is what is here of a mirror.
type Have struct {
	None        bool // there is no mirror, or none that can be read
	Pulled      time.Time
	Fingerprint refs.Fingerprint
	Damaged     bool
}

// Fallback finds replicas for a mirror whose origin cannot be reached.
type Fallback interface {
	// Sources returns replicas, the best first: one that has reached the origin, if there is
	// one, and then those with something newer than what is here. The errors tell which
	// replicas are of no help. It returns nil if there is nobody to ask.
	Sources(ctx context.Context, q Query) iter.Seq2[Source, error]
}

// IsOrigin reports whether the source is the origin itself.
func (s Source) IsOrigin() bool { return s.Peer == "" }

func (s Source) String() string {
	if s.IsOrigin() {
		return "the origin"
	}
	return "the peer " + s.Peer
}

// of tells in a sentence that it is not about the origin.
func (s Source) of() string {
	if s.IsOrigin() {
		return ""
	}
	return " from " + s.String()
}

// remote is the source in git's terms.
func (s Source) remote(from origin.URL) git.Remote {
	if s.IsOrigin() {
		return from.Remote()
	}
	return s.Remote
}

// Improves reports whether a replica has something that is worth having: what was pulled later
// than what is here. Of two that were pulled at the same time all servers take the same one.
// If what is here is damaged, the same will do.
func (s Source) Improves(have Have) bool {
	switch {
	case have.None, s.Pulled.After(have.Pulled),
		s.Pulled.Equal(have.Pulled) && s.Fingerprint > have.Fingerprint:
		return true
	default:
		return have.Damaged && (s.Fingerprint == have.Fingerprint || s.Pulled.Equal(have.Pulled))
	}
}

// errAnnounced is why a replica is not believed.
var errAnnounced = errors.New("it shows other refs than it has announced")

// verifyAdvertised checks that a replica shows what it has announced.
func (s Source) verifyAdvertised(l git.Listing, patterns []refs.Pattern) error {
	if s.IsOrigin() || l.Head.ID == s.Revision || refs.FingerprintOf(l, patterns) == s.Fingerprint {
		return nil
	}
	return errAnnounced
}

// unreachable is why a source could not be read. A replica may help then.
type unreachable struct {
	err    error
	listed bool // it has told its refs: what is wrong may be the mirror
}

// IsUnreachable reports whether a pull has failed because its origin could not be reached, and
// not by what it is or by this machine.
func IsUnreachable(err error) bool {
	return errors.As(err, new(*unreachable)) && !git.IsLocalFault(err)
}

func (u *unreachable) Error() string { return u.err.Error() }
func (u *unreachable) Unwrap() error { return u.err }

// errOvertaken is why nothing is taken from a replica: the mirror has what the origin has.
var errOvertaken = errors.New("the origin was reached meanwhile")
