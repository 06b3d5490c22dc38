package cluster

import (
	"errors"
	"slices"
	"time"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/storage"
)

// holding is the state of a mirror on one server, as far as a comparison needs it.
type holding struct {
	origin      origin.URL
	formers     []origin.URL // the origins before moves, the latest first
	wanted      time.Time    // when somebody last asked for it; zero for never
	accepted    time.Time    // when deletions were last accepted
	removed     time.Time    // when the previous mirror of this name was deleted; zero if there was none
	fingerprint refs.Fingerprint
	revision    string    // of the default branch
	pulled      time.Time // of the latest successful pull; zero for never
	healthy     bool      // the latest pull has succeeded
	busy        bool      // a pull is running
	shallow     bool      // a part of the history is missing; the fingerprint does not tell
}

// difference is a mirror that is not the same on this server and on another one.
type difference struct {
	name         storage.Name
	origin       origin.URL
	former       origin.URL // the origin that the other server still has, or may have
	ours, theirs refs.Fingerprint
	accept       refs.Acceptance // of deletions that were accepted here since the other server pulled
	wanted       time.Time       // when somebody last asked for it; zero if that need not be passed on
	removed      time.Time       // when the other server's mirror was removed here; zero if it was not
	refused      error           // why the difference cannot be removed
}

// holdings returns the mirrors that this server has and can read, but for those that reads have made:
// these are the server's own business.
func holdings(store *mirror.Store) map[storage.Name]holding {
	all := make(map[storage.Name]holding)
	for _, m := range store.All() {
		if m.Snapshot() == nil && m.Unreadable() != "" {
			continue // as if there were none: a server that knows its origin may have it rebuilt
		}
		if s := m.Snapshot(); s != nil && s.OnDemand {
			continue
		}
		all[m.Name] = holdingHere(m.Snapshot(), store.Progress(m.Name) != nil)
	}
	return all
}

// holdingHere returns a mirror that this server has; s is nil if it was not read yet.
func holdingHere(s *mirror.Snapshot, busy bool) holding {
	h := holding{busy: busy}
	if s != nil {
		h.origin, h.formers, h.wanted, h.accepted = s.Origin, s.Formers, s.Wanted, s.Accepted
		h.removed = s.Removed
		h.fingerprint, h.revision = s.Fingerprint, s.Head.ID
		h.healthy = s.Outcome == mirror.Success
		h.pulled, h.shallow = s.Pulled, s.Shallow
	}
	return h
}

// holdingsOf returns the mirrors in another server's status, but for those that reads have made there.
func holdingsOf(doc *protocol.Status) map[storage.Name]holding {
	all := make(map[storage.Name]holding, len(doc.Mirrors))
	for _, m := range doc.Mirrors {
		name, err := storage.ParseName(m.Name)
		if err != nil || m.OnDemand {
			continue
		}
		all[name] = holdingThere(m)
	}
	return all
}

// holdingThere returns a mirror that another server has.
func holdingThere(m protocol.Mirror) holding {
	from, _ := origin.Parse(m.Origin, true) // not Known if it is no URL
	return holding{
		origin: from, wanted: m.WantedAt(),
		fingerprint: refs.Fingerprint(m.Fingerprint), revision: m.Revision, pulled: m.PulledAt(),
		healthy: m.State == protocol.Success, busy: m.State == protocol.Processing,
		shallow: m.Shallow,
	}
}

// byRevision replaces each fingerprint by the revision of the default branch, for servers whose
// configurations select different refs: their fingerprints are never equal.
func byRevision(all map[storage.Name]holding) {
	for name, h := range all {
		h.fingerprint = refs.Fingerprint(h.revision)
		all[name] = h
	}
}

// outlived returns the mirrors that a slave still has and that were removed here, unless somebody
// asked for them after that. A later pull on the slave does not count: the first reader after its
// start causes one.
func outlived(slave map[storage.Name]holding, removed func(storage.Name) (time.Time, bool), master map[storage.Name]holding) (all []difference) {
	for name, theirs := range slave {
		if _, exists := master[name]; exists || theirs.busy {
			continue
		}
		if at, ok := removed(name); ok && !theirs.wanted.After(at) {
			all = append(all, difference{name: name, theirs: theirs.fingerprint, removed: at})
		}
	}
	sortDifferences(all)
	return all
}

// compare returns the mirrors that a slave must update (stale), and those that are newer on the
// slave. A mirror is stale if the slave has missed a move or a removal, or lacks history. It is
// newer if the slave has pulled it later and has other refs, or has more history. Mirrors that are
// being pulled are left out.
func compare(master, slave map[storage.Name]holding) (stale, newer []difference) {
	for name, ours := range master {
		theirs := slave[name]
		moved := theirs.origin.Known() && slices.ContainsFunc(ours.formers, theirs.origin.Same)
		sameRefs := ours.fingerprint == theirs.fingerprint
		equal := sameRefs && ours.shallow == theirs.shallow && !moved
		if equal || !ours.isComparable() || theirs.busy {
			continue
		}
		d := difference{name: name, origin: ours.origin, wanted: ours.wanted, ours: ours.fingerprint, theirs: theirs.fingerprint}
		switch {
		case theirs.origin.Known() && ours.removed.After(theirs.wanted): // it has the mirror that was removed here
			d.removed = ours.removed
		case moved:
			d.former = theirs.origin
		case !theirs.origin.Known() && len(ours.formers) > 0: // its origin cannot be read, and may be a former one
			d.former = ours.formers[0]
		case sameRefs && theirs.shallow:
		case sameRefs, theirs.healthy && theirs.pulled.After(ours.pulled):
			newer = append(newer, d)
			continue
		}
		if ours.accepted.After(theirs.pulled) {
			d.accept = refs.Acceptance(ours.fingerprint)
		}
		stale = append(stale, d)
	}
	sortDifferences(stale)
	sortDifferences(newer)
	return stale, newer
}

// isComparable reports whether a mirror of this server can be compared with another server's: it
// was pulled from a known origin, and is not being pulled.
func (h holding) isComparable() bool { return !h.busy && h.origin.Known() && !h.pulled.IsZero() }

// lacking returns the mirrors that a peer has and this server lacks, except those that reads have made
// there, and those that were removed here after somebody last asked for them. An origin is checked like that of a POST.
func lacking(
	ours map[storage.Name]holding, theirs []protocol.Mirror, removed func(storage.Name) (time.Time, bool), unsecure bool,
) (missing []difference) {
	for _, m := range theirs {
		name, err := storage.ParseName(m.Name)
		if _, exists := ours[name]; err != nil || exists || m.OnDemand || m.Fingerprint == "" {
			continue
		}
		if at, gone := removed(name); gone && !m.WantedAt().After(at) {
			continue
		}
		d := difference{name: name, theirs: refs.Fingerprint(m.Fingerprint), wanted: m.WantedAt()}
		if m.Origin == "" {
			d.refused = errors.New("the peer does not know its origin")
		} else {
			d.origin, d.refused = origin.Parse(m.Origin, unsecure)
		}
		missing = append(missing, d)
	}
	sortDifferences(missing)
	return missing
}

func sortDifferences(all []difference) {
	slices.SortFunc(all, func(a, b difference) int { return a.name.Compare(b.name) })
}
