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

// Source is where a pull reads. The zero value is the mirror's origin; others are replicas, on
// other servers, that stand in for it.
type Source struct {
	Peer   string     // the replica's server, for people; empty for the origin
	Remote git.Remote // the replica in git's terms; unused for the origin

	ReachedOrigin bool      // whether the replica has pulled from the origin since Asked
	Asked         time.Time // when the replica was asked to pull
	Pulled        time.Time // when the replica was last pulled successfully; zero for never

	// What the replica has announced. It is not believed if it shows anything else.
	Revision    string
	Fingerprint refs.Fingerprint

	// Renew makes the replica pull again, because its origin was pushed to in between.
	Renew func(context.Context) (Source, error)
}

// Query is a pull's question to a Fallback.
type Query struct {
	Name       storage.Name
	Origin     origin.URL
	Move       origin.URL // the former origin that replicas may still have; not Known for none
	Accept     refs.Acceptance
	Refs       []refs.Pattern // of the refs that the pull needs: a replica must have all of them
	OriginDown bool           // the origin is known to be down: replicas need not try to pull
	Holders    bool           // only servers that have the mirror are of use: others must not make it
	Have       Have           // this server's mirror, when the origin could not be reached
	Damaged    func() bool    // whether this server's mirror is known to be damaged now
}

// Have is what this server has of a mirror.
type Have struct {
	None        bool // there is no mirror, or none that can be read
	Pulled      time.Time
	Fingerprint refs.Fingerprint
	Damaged     bool
}

// Fallback finds replicas for a mirror whose origin cannot be reached.
type Fallback interface {
	// Sources returns replicas, the best first: one that has reached the origin, if there is
	// one, and then those with something newer than q.Have. An error says why the source's peer
	// has no replica that helps. It returns nil if there is no server to ask.
	Sources(ctx context.Context, q Query) iter.Seq2[Source, error]
}

// isOrigin reports whether the source is the origin itself.
func (s Source) isOrigin() bool { return s.Peer == "" }

func (s Source) String() string {
	if s.isOrigin() {
		return "the origin"
	}
	return "the peer " + s.Peer
}

// fromText returns " from" and the replica, for the end of a phrase; "" for the origin.
func (s Source) fromText() string {
	if s.isOrigin() {
		return ""
	}
	return " from " + s.String()
}

// remote returns the source in git's terms.
func (s Source) remote(from origin.URL) git.Remote {
	if s.isOrigin() {
		return from.Remote()
	}
	return s.Remote
}

// Improves reports whether a replica is better than what this server has: its pull is later. Of
// two pulls at the same time, all servers prefer the same one, by the fingerprint. If this
// server's mirror is damaged, an equal replica is better too.
func (s Source) Improves(have Have) bool {
	switch {
	case have.None, s.Pulled.After(have.Pulled),
		s.Pulled.Equal(have.Pulled) && s.Fingerprint > have.Fingerprint:
		return true
	default:
		return have.Damaged && (s.Fingerprint == have.Fingerprint || s.Pulled.Equal(have.Pulled))
	}
}

// errNotAsAnnounced is why a replica is not believed.
var errNotAsAnnounced = errors.New("it shows other refs than it has announced")

// verifyAdvertised checks that a replica shows what it has announced.
func (s Source) verifyAdvertised(l git.Listing, patterns []refs.Pattern) error {
	if s.isOrigin() || l.Head.ID == s.Revision || refs.FingerprintOf(l, patterns) == s.Fingerprint {
		return nil
	}
	return errNotAsAnnounced
}

// unreachable means that a source could not be read. Another source may help then.
type unreachable struct {
	err    error
	listed bool // the source has listed its refs: the fault may be the mirror's
}

// IsUnreachable reports whether a pull has failed because its origin could not be reached, and
// not because of a fault of this machine.
func IsUnreachable(err error) bool {
	return errors.As(err, new(*unreachable)) && !git.IsLocalFault(err)
}

// IsOriginDown reports whether a pull has failed because the host of its origin could not be reached,
// did not answer, or was in trouble itself: its other repositories cannot be had either.
func IsOriginDown(err error) bool {
	u := (*unreachable)(nil)
	return errors.As(err, &u) && !u.listed && git.IsServerDown(u.err)
}

func (u *unreachable) Error() string { return u.err.Error() }
func (u *unreachable) Unwrap() error { return u.err }

// errOvertaken is why nothing is taken from a replica: a later pull has reached the origin.
var errOvertaken = errors.New("the origin was reached meanwhile")
