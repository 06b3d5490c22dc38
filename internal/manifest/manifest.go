// Package manifest tells clients of grokmirror which mirrors there are, by the manifest that they read
// (https://github.com/mricon/grokmirror): a compressed JSON object with an entry for each mirror.
package manifest

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/coalesce"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/storage"
)

// Manifest is a manifest at one moment. It must not be changed.
type Manifest struct {
	Body     []byte // gzip
	ETag     string
	Modified time.Time // whole seconds; another one for each content
}

// Maker makes manifests. It remembers the latest one, and what it has made of each mirror.
type Maker struct {
	store *mirror.Store
	runs  coalesce.Group[struct{}, struct{}, *Manifest]

	mu         sync.Mutex // guards latest and generation; the run alone uses entries and sum
	latest     *Manifest
	generation uint64 // of the store, before latest was made

	entries map[storage.Name]known
	sum     [sha256.Size]byte // of the text of latest
}

// known is the entry of a mirror, and what it was made of.
type known struct {
	of    *mirror.Snapshot
	entry *entry // nil for none
}

// entry is an entry of a manifest, as grok-manifest(1) writes it.
type entry struct {
	Owner       *string `json:"owner"`
	Description string  `json:"description"`
	Reference   *string `json:"reference"` // clients of version 1 need it, and null means none
	Modified    int64   `json:"modified"`  // when its refs last changed, in Unix seconds
	Fingerprint string  `json:"fingerprint"`
	Head        string  `json:"head,omitempty"` // the content of the file HEAD
}

// NewMaker makes manifests of the mirrors of a store.
func NewMaker(store *mirror.Store) *Maker {
	return &Maker{store: store, entries: make(map[storage.Name]known)}
}

// Get returns the manifest of now. Who asks while one is made shares the next one with all others who do.
func (m *Maker) Get(ctx context.Context) (*Manifest, error) {
	if latest := m.current(); latest != nil {
		return latest, nil
	}
	return m.runs.Do(ctx, struct{}{}, struct{}{}, func() (*Manifest, error) {
		if latest := m.current(); latest != nil { // that of the run before
			return latest, nil
		}
		return m.make(time.Now())
	})
}

// Wait waits until none is made.
func (m *Maker) Wait() { m.runs.Wait() }

// current is the latest manifest, if nothing has changed since; else nil.
func (m *Maker) current() *Manifest {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.latest == nil || m.generation != m.store.Generation() {
		return nil
	}
	return m.latest
}

// make makes the manifest, unless its content is that of the latest one.
func (m *Maker) make(now time.Time) (*Manifest, error) {
	generation := m.store.Generation() // before the mirrors
	text, err := json.Marshal(m.document())
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	m.mu.Lock()
	latest := m.latest
	m.mu.Unlock()
	if latest == nil || sum != m.sum {
		body, err := compress(text)
		if err != nil {
			return nil, err
		}
		latest = &Manifest{body, `"` + hex.EncodeToString(sum[:16]) + `"`, stamp(latest, now)}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.latest, m.generation, m.sum = latest, generation, sum
	return latest, nil
}

// stamp is the time of a manifest that follows another one, which may be nil: clients ask by that time
// alone whether there is a new one.
func stamp(before *Manifest, now time.Time) time.Time {
	now = now.Truncate(time.Second)
	if before != nil && !now.After(before.Modified) {
		return before.Modified.Add(time.Second)
	}
	return now
}

// document has the entries of all mirrors that can be read and are everybody's, by their paths.
func (m *Maker) document() map[string]*entry {
	all := m.store.All()
	entries, document := make(map[storage.Name]known, len(all)), make(map[string]*entry, len(all))
	named := make(map[string]bool, len(all))
	for _, one := range all {
		named[one.Name.String()] = true
	}
	for _, one := range all {
		snap := one.Snapshot()
		if snap == nil || one.Unreadable() != "" {
			continue
		}
		k := m.entries[one.Name]
		if k.of != snap {
			k = known{snap, nil}
			if !snap.OnDemand && len(snap.Refs) > 0 {
				k.entry = entryOf(snap, one.RefsChanged())
			}
		}
		if entries[one.Name] = k; k.entry != nil {
			document[pathOf(one.Name, named)] = k.entry
		}
	}
	m.entries = entries
	return document
}

// pathOf is where a mirror is cloned from: its name and ".git", unless another mirror has that name.
func pathOf(name storage.Name, named map[string]bool) string {
	path := name.String() + ".git"
	if named[path] {
		path = name.String()
	}
	return "/" + path
}

// entryOf is the entry of a mirror whose refs last changed at that time.
func entryOf(snap *mirror.Snapshot, changed time.Time) *entry {
	e := &entry{Modified: changed.Unix(), Fingerprint: fingerprint(snap.Listing)}
	if snap.Origin.Known() && !snap.Origin.IsLocal() {
		e.Description = "mirror of " + snap.Origin.String()
	}
	if snap.Head.Ref != "" {
		e.Head = "ref: " + snap.Head.Ref
	}
	return e
}

// fingerprint is the SHA-1 of what "git show-ref" prints of a repository, by which grokmirror compares two.
func fingerprint(l git.Listing) string {
	h := sha1.New()
	for _, ref := range l.Refs {
		fmt.Fprintf(h, "%s %s\n", ref.ID, ref.Name)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func compress(text []byte) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(text); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
