package discover

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/durable"
	"github.com/reconquest/sould/internal/forge"
)

// state is what a table knows. It is kept in a file.
type state struct {
	Table string           `json:"table"` // for people
	Done  time.Time        `json:"done"`  // when the latest round that was not cut off ended; zero for none
	Known map[string]Known `json:"known"` // by the forge's ids
	Pages []forge.Page     `json:"pages"`
	Pause pause            `json:"pause,omitzero"`
}

// pause is until when a forge wants to be left alone by who has the token of a file.
type pause struct {
	Until     time.Time `json:"until"`
	TokenFile string    `json:"token_file,omitempty"` // empty for nobody's
}

// pauseLeft is for how long the table's forge is still to be left alone. Another token has a limit of its own. A clock
// that was set back does not make it longer than a forge can ask for.
func (s *state) pauseLeft(t Table, now time.Time) time.Duration {
	if s.Pause.TokenFile != t.TokenFile {
		return 0
	}
	return min(max(s.Pause.Until.Sub(now), 0), forge.MaxPause)
}

const (
	// maxState is the size of the largest file of a state that is read, in bytes.
	maxState = 256 << 20

	// maxStateAge is how long the file of a table is kept that is not configured any more.
	maxStateAge = 30 * 24 * time.Hour
)

// stateFile is the file of a table's state.
func stateFile(dir string, t Table) string {
	hash := sha256.Sum256([]byte(t.key()))
	return filepath.Join(dir, fmt.Sprintf("%x.json", hash[:16]))
}

// readState reads a table's state. There may be none, which is no error. After an error, the state
// is empty.
func readState(dir string, t Table) (s state, err error) {
	f, err := os.Open(stateFile(dir, t))
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, nil
	}
	if err != nil {
		return state{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxState))
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return state{}, fmt.Errorf("can't read what is known of %s: %w", t, err)
	}
	return s, nil
}

// write replaces a table's state. It makes no directory but its own: the storage may be missing.
func (s state) write(dir string, t Table) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	path := stateFile(dir, t)
	return durable.WriteFile(path, path+".new", text, 0o600)
}

// removeOldStates removes the files of tables that have not been configured for long.
func removeOldStates(dir string, tables []Table, now time.Time) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	used := make(map[string]bool)
	for _, t := range tables {
		used[stateFile(dir, t)] = true
	}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		info, statErr := entry.Info()
		if statErr != nil || used[strings.TrimSuffix(path, ".new")] || now.Sub(info.ModTime()) < maxStateAge {
			continue
		}
		err = errors.Join(err, os.Remove(path))
	}
	return err
}
