package main

import (
	"fmt"
	"time"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/refs"
)

// source is where a pull reads from. The zero value is the origin.
type source struct {
	peer *offer // nil for the origin
}

// unreachable is why a source could not be read. A peer may help then.
type unreachable struct {
	err    error
	listed bool // it has told its refs: what is wrong may be the mirror
}

func (u *unreachable) Error() string { return u.err.Error() }
func (u *unreachable) Unwrap() error { return u.err }

func (s source) String() string {
	if s.peer == nil {
		return "the origin"
	}
	return "the peer " + s.peer.address.String()
}

// of tells in a sentence that it is not about the origin.
func (s source) of() string {
	if s.peer == nil {
		return ""
	}
	return " from " + s.String()
}

// remote is the source in git's terms.
func (s source) remote(j *pullJob, from origin.URL) git.Remote {
	if s.peer == nil {
		return from.Remote()
	}
	remote := git.Remote{
		URL:     s.peer.address.url + "/" + j.req.Name.String(),
		Headers: []string{peerHeader + ": " + j.ms.storage.ID},
		Direct:  true,
		CAFile:  j.set.TLSCA,
	}
	if token := j.set.accessPolicy().TokenFor(access.Read); token != "" {
		remote.Headers = append(remote.Headers, "Authorization: Bearer "+string(token))
	}
	return remote
}

// note notes in a mirror's file that its content is from this source now, which was
// asked for its refs at that time: what came later may not be in it, however long the
// transfer took. A peer that has not reached the origin itself can only say how old what
// it has is.
func (s source) note(f *stateFile, from origin.URL, asked time.Time) {
	f.setOrigin(from)
	f.Outcome, f.Pulled, f.LastError, f.From = OutcomeSuccess, asked, "", ""
	if s.peer == nil {
		return
	}
	if s.peer.fresh {
		f.Pulled = s.peer.asked
	}
	f.From = s.peer.address.String()
	if !s.peer.fresh {
		f.Outcome, f.Pulled = OutcomeFailed, s.peer.pulled
		f.LastError = fmt.Sprintf("the origin could not be reached; this is what the peer %s had", f.From)
	}
}

// errAnnounced is why a peer is not believed.
var errAnnounced = fmt.Errorf("it shows other refs than it has announced")

// keepsItsWord checks that a peer shows what it has announced.
func (s source) keepsItsWord(l git.Listing, patterns []refs.Pattern) error {
	if s.peer == nil || l.Head.ID == s.peer.revision || refs.FingerprintOf(l, patterns) == s.peer.fingerprint {
		return nil
	}
	return errAnnounced
}
