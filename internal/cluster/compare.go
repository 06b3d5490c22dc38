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

// holding is what a server has of a mirror, as far as comparing needs it.
type holding struct {
	origin      origin.URL
	formers     []origin.URL // before it was moved, the latest first
	wanted      time.Time    // when somebody last asked for it; zero for never
	accepted    time.Time    // when deletions were last accepted
	removed     time.Time    // when the previous mirror of this name was deleted; zero if there was none
	fingerprint refs.Fingerprint
	revision    string    // of the default branch
	pulled      time.Time // of the latest successful pull; zero for never
	healthy     bool      // the latest pull has succeeded
	busy        bool      // a pull is running
	shallow     bool      // a part of the history is missing, of which refs say nothing
}

// difference is a mirror that two servers do not have in common.
type difference struct {
	name         storage.Name
	origin       origin.URL
	former       origin.URL // which the other server has still, or may have
	ours, theirs refs.Fingerprint
	accept       refs.Acceptance // of deletions that were accepted here since the other server pulled
	wanted       time.Time       // when somebody last asked for it, if that is for the other server to know
	removed      time.Time       // when the mirror that the other server has was removed here; zero if it was not
	refused      error           // why nothing can be done about it
}

// holdings are what this server has and can read.
func holdings(store *mirror.Store) map[storage.Name]holding {
	all := make(map[storage.Name]holding)
	for _, m := range store.All() {
		if m.Snapshot() == nil && m.Unreadable() != "" {
			continue // as good as none: who knows its origin may have it rebuilt
		}
		h := holding{busy: store.Progress(m.Name) != nil}
		if s := m.Snapshot(); s != nil {
			h.origin, h.formers, h.wanted, h.accepted = s.Origin, s.Formers, s.Wanted, s.Accepted
			h.removed = s.Removed
			h.fingerprint, h.revision = s.Fingerprint, s.Head.ID
			h.healthy = s.Outcome == mirror.Success
			h.pulled, h.shallow = s.Pulled, s.Shallow
		}
		all[m.Name] = h
	}
	return all
}

// holdingsOf are what another server says that it has.
func holdingsOf(doc *protocol.Status) map[storage.Name]holding {
	all := make(map[storage.Name]holding, len(doc.Mirrors))
	for _, m := range doc.Mirrors {
		name, err := storage.ParseName(m.Name)
		if err != nil {
			continue
		}
		from, _ := origin.Parse(m.Origin, true) // if it is none, nothing can be said of it
		all[name] = holding{
			origin: from, wanted: m.WantedAt(),
			fingerprint: refs.Fingerprint(m.Fingerprint), revision: m.Revision, pulled: m.PulledAt(),
			healthy: m.State == protocol.Success, busy: m.State == protocol.Processing,
			shallow: m.Shallow,
		}
	}
	return all
}

// byRevision replaces fingerprints by revisions of the default branches: servers whose
// configurations select different refs never have equal fingerprints.
func byRevision(all map[storage.Name]holding) {
	for name, h := range all {
		h.fingerprint = refs.Fingerprint(h.revision)
		all[name] = h
	}
}

// outlived finds the mirrors that a slave still has and that were removed here, unless
// somebody has asked for them since. That it may have pulled them says nothing: the first
// reader after its start does that.
func outlived(slave map[storage.Name]holding, removed func(storage.Name) (time.Time, bool), master map[storage.Name]holding) (all []difference) {
	for name, theirs := range slave {
		if _, here := master[name]; here || theirs.busy {
			continue
		}
		if at, ok := removed(name); ok && !theirs.wanted.After(at) {
			all = append(all, difference{name: name, theirs: theirs.fingerprint, removed: at})
		}
	}
	sortDifferences(all)
	return all
}

// compare returns the mirrors that a slave must update (stale), and those that it has newer. A
// move, a removal and missing history make a mirror stale. It is newer on the slave if that has
// pulled it later and has other refs, or if it has more of the history. Mirrors that are being
// pulled are left out.
func compare(master, slave map[storage.Name]holding) (stale, newer []difference) {
	for name, ours := range master {
		theirs := slave[name]
		moved := theirs.origin.Known() && slices.ContainsFunc(ours.formers, theirs.origin.Same)
		same := ours.fingerprint == theirs.fingerprint // of the refs, which say nothing of their history
		if ours.busy || theirs.busy || !ours.origin.Known() || ours.pulled.IsZero() ||
			same && ours.shallow == theirs.shallow && !moved {
			continue
		}
		d := difference{name: name, origin: ours.origin, wanted: ours.wanted, ours: ours.fingerprint, theirs: theirs.fingerprint}
		switch {
		case theirs.origin.Known() && ours.removed.After(theirs.wanted): // what it has is what was removed
			d.removed = ours.removed
		case moved:
			d.former = theirs.origin
		case !theirs.origin.Known() && len(ours.formers) > 0: // it cannot be read
			d.former = ours.formers[0]
		case same && theirs.shallow:
		case same, theirs.healthy && theirs.pulled.After(ours.pulled):
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

// lacking finds the mirrors that a peer has and this server has not, and did not remove
// since somebody last asked for them.
// Their origins are checked as those of a POST would be.
func lacking(
	ours map[storage.Name]holding, theirs []protocol.Mirror, removed func(storage.Name) (time.Time, bool), unsecure bool,
) (missing []difference) {
	for _, m := range theirs {
		name, err := storage.ParseName(m.Name)
		if _, here := ours[name]; err != nil || here || m.Fingerprint == "" {
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
