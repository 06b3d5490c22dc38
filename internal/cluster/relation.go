package cluster

import (
	"time"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/storage"
)

// Relation says how another server's mirror stands to the one here.
type Relation string

const (
	Unasked Relation = "unknown" // the server has told nothing yet, or nothing since the mirror here has changed
	Equal   Relation = "equal"
	Behind  Relation = "behind"  // it is older, or has another origin
	Ahead   Relation = "ahead"   // it is newer, or there is none here
	Missing Relation = "missing" // the server has none
	Removed Relation = "removed" // it was removed here, and the server still has it
	Busy    Relation = "busy"    // the server is pulling it
	Other   Relation = "other"   // it is different, and which is newer is not known
	Apart   Relation = "apart"   // it was made on demand, here or there: that is each server's own business
)

// passing is how long the news of a pull may be on its way to another server: what that told
// meanwhile says nothing.
const passing = time.Second

// relate says how another server's mirror stands to the one here. ours and theirs are nil for none;
// asked is when the other server was asked; removed is when a mirror of that name was removed here,
// zero for never.
func relate(name storage.Name, ours, theirs *holding, asked, removed time.Time) Relation {
	switch {
	case theirs != nil && theirs.busy:
		return Busy
	case ours == nil && theirs == nil:
		return Missing
	case ours == nil && !removed.IsZero() && !theirs.wanted.After(removed):
		return Removed
	case ours == nil:
		return Ahead
	case ours.busy, ours.pulled.Add(passing).After(asked):
		return Unasked
	case theirs == nil:
		return Missing
	}
	stale, newer := compare(map[storage.Name]holding{name: *ours}, map[storage.Name]holding{name: *theirs})
	switch {
	case len(stale) > 0:
		return Behind
	case len(newer) > 0:
		return Ahead
	case ours.fingerprint == theirs.fingerprint && ours.shallow == theirs.shallow:
		return Equal
	default:
		return Other
	}
}

// Relation says how the server's mirror of that name stands to the one here; ours is nil if there is
// none, busy is whether it is being pulled, and removed is when it was removed.
func (s *Sight) Relation(name storage.Name, ours *mirror.Snapshot, busy bool, removed time.Time) (Relation, *protocol.Mirror) {
	if s.Doc == nil || s.Doc.Loading || s.Doc.Error != "" {
		return Unasked, nil
	}
	m := s.mirrors[name.String()]
	if ours != nil && ours.OnDemand || ours == nil && m != nil && m.OnDemand {
		return Apart, m
	}
	if m != nil && ours != nil && len(ours.Formers) == 0 && m.State != protocol.Processing && // the usual case, which is worth a check for ten thousand mirrors
		refs.Fingerprint(m.Fingerprint) == ours.Fingerprint && m.Shallow == ours.Shallow {
		return Equal, m
	}
	var here, there *holding
	if ours != nil {
		h := holdingHere(ours, busy)
		here = &h
	}
	if m != nil {
		h := holdingThere(*m)
		there = &h
	}
	if s.OtherRefs {
		for _, h := range []*holding{here, there} {
			if h != nil {
				h.fingerprint = refs.Fingerprint(h.revision)
			}
		}
	}
	return relate(name, here, there, s.Asked, removed), m
}
