package notify

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/git"
)

// Message is the JSON that a target is sent. docs/notify.md explains it.
type Message struct {
	ID     string    `json:"id"` // the same however often it is sent
	Time   time.Time `json:"time"`
	Mirror string    `json:"mirror"`
	Origin string    `json:"origin"` // without credentials

	Removed bool `json:"removed,omitempty"` // the mirror is gone, with all its refs

	DefaultBranch    string `json:"default_branch"`               // a full ref name; empty if there is none
	OldDefaultBranch string `json:"old_default_branch,omitempty"` // if it was another one
	Revision         string `json:"revision"`                     // the commit of the default branch; empty if there is none

	Refs     []change `json:"refs"`                // the default branch first, then by name
	MoreRefs int      `json:"more_refs,omitempty"` // how many have changed beside them

	Servers int      `json:"servers"`          // that have it, this one included
	Slaves  []string `json:"slaves,omitempty"` // the addresses of the others, maxSlaves at most
}

// Bounds of a message.
const (
	maxRefs     = 1000      // that are named
	maxRefBytes = 128 << 10 // of their names
	maxSlaves   = 100       // that are named
)

// message returns the JSON that tells of changes.
func message(now news, changes []change, before git.Head, at time.Time, id string) ([]byte, error) {
	head := now.snap.Head
	m := Message{
		Origin: now.snap.Origin.String(), DefaultBranch: head.Ref, Revision: head.ID,
	}
	if before.Ref != head.Ref {
		m.OldDefaultBranch = before.Ref
	}
	return m.bytes(now, changes, head.Ref, at, id)
}

// removal returns the JSON that tells that a mirror was removed, of which a target was told what a ledger says.
func removal(l ledger, now news, at time.Time, id string) ([]byte, error) {
	m := Message{Origin: l.Origin, Removed: true, OldDefaultBranch: l.Told.Head.Ref}
	return m.bytes(now, diff(l.Told.Refs, nil), l.Told.Head.Ref, at, id)
}

// bytes returns the JSON of a message with changes, that of the default branch first.
func (m Message) bytes(now news, changes []change, branch string, at time.Time, id string) ([]byte, error) {
	m.ID, m.Time, m.Mirror = id, at.UTC(), now.name
	m.Servers, m.Slaves = 1+len(now.servers), now.servers[:min(len(now.servers), maxSlaves)]
	m.Refs = []change{}
	slices.SortStableFunc(changes, func(a, b change) int {
		return -cmp.Compare(truth(a.Name == branch), truth(b.Name == branch))
	})
	size := 0
	for _, c := range changes[:min(len(changes), maxRefs)] {
		if size += len(c.Name); size > maxRefBytes {
			break
		}
		m.Refs = append(m.Refs, c)
	}
	m.MoreRefs = len(changes) - len(m.Refs)
	return json.Marshal(m)
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Signature is the value of the header that lets a target check who has sent a body: "sha256=" and the
// body's HMAC-SHA256 (RFC 2104) by the secret, in hex.
func Signature(secret access.Secret, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}
