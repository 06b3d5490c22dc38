package mirror

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/reconquest/sould/internal/durable"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/storage"
)

// A state file is one JSON object. Most pulls bring nothing new, and change only two dates of it.
// So these dates are at the end of the file once more, in a text of fixed length, which such a pull
// overwrites in place (durable.Overwrite) instead of writing a new file:
//
//	{…,"pulled":"…",…,"latest":"2026-01-02T03:04:05.678901234Z 2026-01-02T03:04:05.678901234Z 7f3a9c01"}
//
// The text lies in one sector, which a disk writes as a whole or not at all. Where that is not so, a
// loss of power can leave a mixture of two texts: digits in any case, so that the file can be read,
// and with a wrong checksum, so that the dates before it hold. The checksum includes the rest of the
// file, so dates are never taken for those of another state.

const (
	latestKey    = `"latest":"`
	latestEnd    = "\"}\n"
	latestLayout = "2006-01-02T15:04:05.000000000Z"
	latestDates  = len(latestLayout) + 1 + len(latestLayout) // when it was pulled, and wanted
	latestSize   = len(latestKey) + latestDates + len(" 7f3a9c01") + len(latestEnd)
	sector       = 512
)

// stateOnDisk is the state file that this process has written last. The zero value stands for a file
// that has to be written anew.
type stateOnDisk struct {
	state   stateFile
	version durable.Version
	rest    []byte // what is in front of the dates
}

// readState reads a mirror's state file. Without one it returns the zero value.
func readState(dir string) (stateFile, error) {
	var s stateFile
	path := filepath.Join(dir, storage.StateFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("%w: %s: %w", git.ErrDamaged, path, err)
	}
	s.readLatest(text)
	return s, nil
}

// readLatest sets the dates to those at the end of a state file, if they belong to it.
func (s *stateFile) readLatest(text []byte) {
	rest := text[:max(len(text)-latestSize, 0)]
	dates := bytes.TrimPrefix(text[len(rest):], []byte(latestKey))
	if len(dates) < latestDates {
		return
	}
	pulled, pulledErr := time.Parse(latestLayout, string(dates[:len(latestLayout)]))
	wanted, wantedErr := time.Parse(latestLayout, string(dates[latestDates-len(latestLayout):latestDates]))
	latest := stateFile{Pulled: pulled, Wanted: wanted}
	if pulledErr != nil || wantedErr != nil || !bytes.Equal(latest.latest(rest), text[len(rest):]) {
		return
	}
	if !pulled.Equal(s.Pulled) {
		s.Pulled = pulled
	}
	if !wanted.Equal(s.Wanted) {
		s.Wanted = wanted
	}
}

// latest is the end of a state file with these dates, after the rest of it. It is nil if a date
// does not fit.
func (s *stateFile) latest(rest []byte) []byte {
	dates := s.Pulled.UTC().Format(latestLayout) + " " + s.Wanted.UTC().Format(latestLayout)
	if len(dates) != latestDates {
		return nil
	}
	sum := crc32.Update(crc32.ChecksumIEEE(rest), crc32.IEEETable, []byte(dates))
	return fmt.Appendf(nil, "%s%s %08x%s", latestKey, dates, sum, latestEnd)
}

// write replaces a mirror's state file. When it returns without an error, the new file is on
// disk; a crash before leaves the old file.
func (s *stateFile) write(dir string) error {
	_, err := s.replace(dir)
	return err
}

// encode returns the content of a state file: the dates at its end, which are nil if one does not
// fit, and the rest.
func (s *stateFile) encode() (rest, latest []byte, err error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, nil, err
	}
	rest = append(bytes.Clone(bytes.TrimSuffix(text, []byte("}"))), ',')
	if left := sector - len(rest)%sector; left < latestSize {
		rest = append(rest, bytes.Repeat([]byte(" "), left)...)
	}
	if latest = s.latest(rest); latest == nil {
		return append(text, '\n'), nil, nil
	}
	return rest, latest, nil
}

// replace is write. It returns what is on disk then.
func (s *stateFile) replace(dir string) (stateOnDisk, error) {
	rest, latest, err := s.encode()
	if err != nil {
		return stateOnDisk{}, err
	}
	path := filepath.Join(dir, storage.StateFile)
	if info, err := os.Lstat(path); err == nil && info.IsDir() { // it is nobody's, and in the way
		if err := os.RemoveAll(path); err != nil {
			return stateOnDisk{}, err
		}
	}
	if err := durable.WriteFile(path, path+".new", append(bytes.Clone(rest), latest...), 0o600); err != nil || latest == nil {
		return stateOnDisk{}, err
	}
	version, err := durable.VersionOf(path)
	if err != nil { // somebody has just removed it
		return stateOnDisk{}, nil
	}
	return stateOnDisk{*s, version, rest}, nil
}

// write makes next the state on disk, with the promise of stateFile.write. If only its dates are
// new, and the file is as this process has left it, it overwrites them.
func (d *stateOnDisk) write(dir string, next stateFile) error {
	return d.writeBy(durable.Overwrite, dir, next)
}

// writePulled is write for a pull for which nobody waits. If only the date of the pull is new, a loss of
// power may lose that: ten thousand mirrors that are polled would keep a disk busy with their dates.
func (d *stateOnDisk) writePulled(dir string, next stateFile) error {
	if !next.Wanted.Equal(d.state.Wanted) {
		return d.write(dir, next)
	}
	return d.writeBy(durable.OverwriteSoon, dir, next)
}

// writeBy is write, with a way to overwrite the dates.
func (d *stateOnDisk) writeBy(
	overwrite func(path string, was durable.Version, offset int64, data []byte) (durable.Version, error), dir string, next stateFile,
) (err error) {
	if d.rest != nil && d.state.equalsBesideDates(next) {
		if latest := next.latest(d.rest); latest != nil {
			d.version, err = overwrite(filepath.Join(dir, storage.StateFile), d.version, int64(len(d.rest)), latest)
			if err == nil {
				return nil
			}
		}
	}
	*d, err = next.replace(dir)
	return err
}

// equalsBesideDates reports whether two states differ at most in the dates that are at the end of
// the file.
func (s stateFile) equalsBesideDates(other stateFile) bool {
	s.Pulled, s.Wanted = other.Pulled, other.Wanted
	return reflect.DeepEqual(s, other)
}
