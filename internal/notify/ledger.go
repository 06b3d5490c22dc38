package notify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/refs"
)

// ledger is what one target was told of one mirror. It is a value, which a file holds.
type ledger struct {
	Mirror      string
	Blank       bool             // nothing was told, and what the mirror had was not known: the next state is taken for told
	Fingerprint refs.Fingerprint // of what was told; empty for nothing
	Origin      string           // that was told, without credentials
	Removed     time.Time        // when the mirror was removed before what was told, as was told as well; zero for never
	Told        git.Listing      // with what the delivery tells; without Peeled
	At          time.Time        // when the target has last accepted a delivery; zero for never
	Delivery    *delivery        // on its way; nil for none
}

// delivery is a message on its way to a target. It never changes, so that its id stands for the same
// words however often it is sent.
type delivery struct {
	ID    string
	Since time.Time // when it was made
	Body  []byte    // JSON
}

// maxLedgerRefs bounds the refs of a mirror that a ledger keeps. Of those beyond it, in the order of
// their names, nobody is told.
const maxLedgerRefs = 100_000

// keep returns what a ledger keeps of a listing.
func keep(l git.Listing) git.Listing {
	kept := git.Listing{Head: l.Head, Refs: make([]git.Ref, 0, min(len(l.Refs), maxLedgerRefs))}
	for _, ref := range l.Refs[:min(len(l.Refs), maxLedgerRefs)] {
		kept.Refs = append(kept.Refs, git.Ref{Name: ref.Name, ID: ref.ID})
	}
	return kept
}

// tell returns the ledger after what all servers have now has been put on its way, and whether there is
// anything to tell. No delivery is on its way before. id names the delivery.
func (l ledger) tell(now news, at time.Time, id string) (ledger, bool, error) {
	switch {
	case l.isKnown() && (now.snap == nil || now.snap.Removed.After(l.Removed)):
		return l.tellRemoval(now, at, id)
	case now.snap == nil:
		return l, false, nil // nobody was told of it
	}
	listing := keep(now.snap.Listing)
	changes := diff(l.Told.Refs, listing.Refs)
	silent := l.Blank || len(changes) == 0 && l.Told.Head == listing.Head
	before := l.Told.Head
	l.Blank, l.Fingerprint, l.Told = false, now.snap.Fingerprint, listing
	l.Origin, l.Removed = now.snap.Origin.String(), now.snap.Removed
	if silent {
		return l, false, nil
	}
	body, err := message(now, changes, before, at, id)
	if err != nil {
		return l, false, err
	}
	l.Delivery = &delivery{ID: id, Since: at, Body: body}
	return l, true, nil
}

// isKnown reports whether the target knows of a mirror of that name.
func (l ledger) isKnown() bool { return l.Blank || l.Fingerprint != "" }

// tellRemoval is tell for a mirror that was removed. There may be one again, which is told of after that.
func (l ledger) tellRemoval(now news, at time.Time, id string) (ledger, bool, error) {
	gone := now.removed
	if now.snap != nil {
		gone = now.snap.Removed
	}
	body, err := removal(l, now, at, id)
	if err != nil {
		return l, false, err
	}
	return ledger{Mirror: l.Mirror, Removed: gone, At: l.At, Delivery: &delivery{ID: id, Since: at, Body: body}}, true, nil
}

// change is a ref that is not what it was. An id that consists of zeros stands for none.
type change struct {
	Name string `json:"name"`
	Old  string `json:"old"`
	New  string `json:"new"`
}

// diff compares two lists of refs, both sorted by name.
func diff(before, after []git.Ref) (all []change) {
	for len(before) > 0 || len(after) > 0 {
		switch {
		case len(after) == 0 || len(before) > 0 && before[0].Name < after[0].Name:
			all = append(all, change{before[0].Name, before[0].ID, zeros(before[0].ID)})
			before = before[1:]
		case len(before) == 0 || after[0].Name < before[0].Name:
			all = append(all, change{after[0].Name, zeros(after[0].ID), after[0].ID})
			after = after[1:]
		default:
			if before[0].ID != after[0].ID {
				all = append(all, change{before[0].Name, before[0].ID, after[0].ID})
			}
			before, after = before[1:], after[1:]
		}
	}
	return all
}

// zeros is the id that stands for none, as long as ids of that kind are.
func zeros(id string) string { return strings.Repeat("0", len(id)) }

// ledgerHead is the first line of a ledger's file. The refs follow, a line each: their names may have
// any bytes, which JSON has not.
type ledgerHead struct {
	Mirror      string           `json:"mirror"`
	Blank       bool             `json:"blank,omitempty"`
	Fingerprint refs.Fingerprint `json:"fingerprint,omitempty"`
	Origin      string           `json:"origin,omitempty"`
	Removed     time.Time        `json:"removed,omitzero"`
	At          time.Time        `json:"at,omitzero"`
	ID          string           `json:"delivery,omitempty"`
	Since       time.Time        `json:"since,omitzero"`
	Body        json.RawMessage  `json:"body,omitempty"`
	Head        git.Head         `json:"head"`
	Refs        int              `json:"refs"`
}

// bytes returns the content of the ledger's file.
func (l ledger) bytes() ([]byte, error) {
	head := ledgerHead{
		Mirror: l.Mirror, Blank: l.Blank, Fingerprint: l.Fingerprint, Origin: l.Origin, Removed: l.Removed, At: l.At,
		Head: l.Told.Head, Refs: len(l.Told.Refs),
	}
	if l.Delivery != nil {
		head.ID, head.Since, head.Body = l.Delivery.ID, l.Delivery.Since, l.Delivery.Body
	}
	line, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	text.Write(append(line, '\n'))
	for _, ref := range l.Told.Refs {
		text.WriteString(ref.ID + " " + ref.Name + "\n")
	}
	return text.Bytes(), nil
}

// errDamaged means that a ledger's file is not what was written.
var errDamaged = errors.New("it is damaged")

// parseLedger reads the content of a ledger's file. The error is errDamaged.
func parseLedger(text []byte) (l ledger, err error) {
	line, rest, _ := bytes.Cut(text, []byte("\n"))
	var head ledgerHead
	if err := json.Unmarshal(line, &head); err != nil {
		return l, fmt.Errorf("%w: %w", errDamaged, err)
	}
	l = ledger{
		Mirror: head.Mirror, Blank: head.Blank, Fingerprint: head.Fingerprint, Origin: head.Origin, Removed: head.Removed, At: head.At,
		Told: git.Listing{Head: head.Head},
	}
	if head.ID != "" {
		l.Delivery = &delivery{head.ID, head.Since, head.Body}
	}
	for line := range strings.Lines(string(rest)) {
		id, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !ok || !git.IsID(id) || !strings.HasSuffix(line, "\n") {
			return ledger{}, errDamaged
		}
		l.Told.Refs = append(l.Told.Refs, git.Ref{Name: name, ID: id})
	}
	if len(l.Told.Refs) != head.Refs || l.Mirror == "" {
		return ledger{}, errDamaged
	}
	return l, nil
}
