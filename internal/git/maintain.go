package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Packs tells how a repository's objects lie on disk.
type Packs struct {
	Count int   // of packs that a repack takes in
	Size  int64 // of these, in bytes
	Loose int   // objects that are files of their own, about

	Unreachable int // packs of objects that no ref leads to
}

// Packs looks how objects lie on disk, without a process.
func (r Repo) Packs() (Packs, error) {
	var p Packs
	entries, err := os.ReadDir(filepath.Join(r.Dir, "objects", "pack"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return p, err
	}
	has := make(map[string]bool, len(entries))
	for _, entry := range entries {
		has[entry.Name()] = true
	}
	for _, entry := range entries {
		base, isPack := strings.CutSuffix(entry.Name(), ".pack")
		// Unreachable objects lie in a pack with .mtimes; it is not for rolling up.
		if !isPack || !has[base+".idx"] || has[base+".keep"] {
			continue
		}
		if has[base+".mtimes"] {
			p.Unreachable++
			continue
		}
		if info, err := entry.Info(); err == nil {
			p.Count++
			p.Size += info.Size()
		}
	}
	// Ids being random, one directory of 256 tells of all.
	sample, err := os.ReadDir(filepath.Join(r.Dir, "objects", "17"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return p, err
	}
	p.Loose = 256 * len(sample)
	return p, nil
}

// Repack is a way to repack.
type Repack int

const (
	// RepackQuick rolls small packs up, so that each is at least twice as large as all
	// smaller ones together, and does no more.
	RepackQuick Repack = iota
	// RepackRolling does the same, and writes what makes reading fast: one index of all
	// packs, bitmaps, and the commit graph.
	RepackRolling
	// RepackFull makes one pack of all that is reachable, with the same, and lets go of
	// unreachable objects that are older than two weeks.
	RepackFull
)

// Expiry is the age at which unreachable objects are let go of, in git's words.
const expiry = "2.weeks.ago"

// Repack repacks the repository. Nothing may be written to it meanwhile, but it may be
// read. If it is interrupted, [Repo.Sweep] clears away what is left.
func (r Repo) Repack(ctx context.Context, how Repack) error {
	version, err := r.git.Version(ctx)
	if err != nil {
		return err
	}
	idLength, err := r.IDLength(ctx)
	if err != nil {
		return err
	}
	return r.inView(idLength, func(view Repo) error {
		for _, c := range repackCommands(how, version) {
			c.dir = view.Dir
			c.patient = how != RepackQuick // others wait for the quick one
			if c.patient {
				c.settings = []string{"pack.threads", "1"}
			}
			if err := r.git.run(ctx, c); err != nil {
				return fmt.Errorf("git %s: %w", c.name, err)
			}
		}
		return nil
	})
}

// repackCommands are what a version of git can do of it: rolling up since 2.32, indexes of many
// packs with bitmaps since 2.34, and packs of unreachable objects since 2.37.
func repackCommands(how Repack, version string) []command {
	repack := func(args ...string) command {
		// -n: nobody needs the files of the dumb protocol, which name all refs.
		return command{name: "repack", args: append([]string{"-q", "-n", "-d"}, args...)}
	}
	graph := command{name: "commit-graph", args: []string{"write", "--reachable", "--split", "--no-progress"}}
	wholeGraph := command{name: "commit-graph", args: []string{"write", "--reachable", "--split=replace", "--no-progress"}}
	switch {
	case how == RepackQuick && atLeast(version, 2, 34):
		return []command{repack("--geometric=2", "--write-midx")}
	case how == RepackRolling && atLeast(version, 2, 34):
		return []command{repack("--geometric=2", "--write-midx", "--write-bitmap-index"), graph}
	case atLeast(version, 2, 37):
		return []command{
			repack("--cruft", "--cruft-expiration="+expiry, "--write-midx", "--write-bitmap-index"),
			{name: "prune", args: []string{"--expire=" + expiry}}, // what older ones left loose
			wholeGraph,
		}
	default:
		return []command{
			repack("-A", "--unpack-unreachable="+expiry, "--write-bitmap-index"),
			{name: "prune", args: []string{"--expire=" + expiry}},
			wholeGraph,
		}
	}
}

// atLeast reports whether a version that Version has returned is that one or newer.
func atLeast(version string, major, minor int) bool {
	var itsMajor, itsMinor int
	if _, err := fmt.Sscanf(version, "%d.%d", &itsMajor, &itsMinor); err != nil {
		return false
	}
	return itsMajor > major || itsMajor == major && itsMinor >= minor
}
