package storage

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/durable"
	"github.com/reconquest/sould/internal/refs"
)

// Tombstone says that a mirror was removed on purpose, so that it is not copied back from
// another server.
type Tombstone struct {
	Name        string           `json:"name"`
	At          time.Time        `json:"date"`
	Origin      string           `json:"origin,omitempty"` // without credentials
	Fingerprint refs.Fingerprint `json:"fingerprint,omitempty"`
}

// MinRetention is how long tombstones are retained if the configuration retains nothing: other
// servers need time to notice.
const MinRetention = time.Hour

// escapeName escapes a name into one component of a path. If it is too long, a digest replaces
// its end, in lower-case hex digits after a %, which no escaped name has.
func escapeName(name Name) string {
	escaped := url.PathEscape(name.String())
	if len(escaped) <= maxComponent {
		return escaped
	}
	digest := sha256.Sum256([]byte(name.String()))
	return escaped[:maxComponent-40] + "%" + hex.EncodeToString(digest[:16])
}

// digestSize is the length of the digest in an escaped name, with its %.
const digestSize = 1 + 2*16

// unescapeName returns the name that escapeName has escaped, or its beginning if a digest has replaced
// the end.
func unescapeName(escaped string) (name Name, ok bool) {
	if cut := len(escaped) - digestSize; cut >= 0 && escaped[cut] == '%' && strings.Trim(escaped[cut+1:], "0123456789abcdef") == "" {
		escaped = escaped[:cut]
		if i := strings.LastIndexByte(escaped, '%'); i >= max(0, len(escaped)-2) { // an escape that was cut off
			escaped = escaped[:i]
		}
	}
	raw, err := url.PathUnescape(escaped)
	if err != nil {
		return Name{}, false
	}
	name, err = ParseName(raw)
	return name, err == nil
}

func (s *Dir) tombstonePath(name Name) string {
	return s.Own(filepath.Join("tombstones", escapeName(name)))
}

// WriteTombstone writes the tombstone of a mirror. When it returns without an error, it is on
// disk.
func (s *Dir) WriteTombstone(name Name, t Tombstone) error {
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	path := s.tombstonePath(name)
	dir, file := filepath.Split(path)
	return durable.WriteFile(path, dir+".new-"+file, append(text, '\n'), 0o600) // no name begins with a dot
}

// maxTombstones is how many tombstones there may be before new ones are refused for names that
// no mirror had on this server. The number of other tombstones is bounded by that of mirrors.
const maxTombstones = 4096

// ErrTooManyTombstones is returned if there is no room for such a tombstone.
var ErrTooManyTombstones = fmt.Errorf("there was no such mirror, and %d tombstones are kept already", maxTombstones)

// RoomForTombstone returns ErrTooManyTombstones if there is no room for the tombstone of a name
// that no mirror had on this server.
func (s *Dir) RoomForTombstone() error {
	entries, err := os.ReadDir(s.Own("tombstones"))
	if err == nil && len(entries) >= maxTombstones {
		err = ErrTooManyTombstones
	}
	return err
}

// RemoveTombstone removes the tombstone of a name, if there is one.
func (s *Dir) RemoveTombstone(name Name) error {
	err := os.Remove(s.tombstonePath(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, durable.Sync(s.Own("tombstones")))
}

// Tombstone returns the tombstone of a name. The error is fs.ErrNotExist if there is none.
func (s *Dir) Tombstone(name Name) (Tombstone, error) {
	return readTombstone(s.tombstonePath(name))
}

func readTombstone(path string) (t Tombstone, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return t, err
	}
	if err = json.Unmarshal(text, &t); err != nil {
		err = fmt.Errorf("read %s: %w", path, err)
	}
	return t, err
}

// tombstones returns all tombstones, sorted by name. The error names those that cannot be read.
func (s *Dir) tombstones() ([]Tombstone, error) {
	entries, err := os.ReadDir(s.Own("tombstones"))
	var all []Tombstone
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		t, readErr := readTombstone(s.Own(filepath.Join("tombstones", entry.Name())))
		switch {
		case readErr == nil:
			all = append(all, t)
		case !errors.Is(readErr, fs.ErrNotExist):
			err = errors.Join(err, readErr)
		}
	}
	slices.SortFunc(all, func(a, b Tombstone) int { return strings.Compare(a.Name, b.Name) })
	return all, err
}

// Expire removes mirrors from the trash and tombstones after they were retained for this time.
func (s *Dir) Expire(now time.Time, keep time.Duration) error {
	if err := s.CheckOwned(); err != nil {
		return err
	}
	err := s.emptyTrash(now, keep)
	if keep == 0 {
		keep = MinRetention
	}
	all, readErr := s.tombstones()
	err = errors.Join(err, readErr)
	for _, t := range all {
		name, nameErr := ParseName(t.Name)
		if nameErr == nil && !t.At.Add(keep).After(now) {
			err = errors.Join(err, s.RemoveTombstone(name))
		}
	}
	return err
}
