package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
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
	// RepackNone does nothing.
	RepackNone Repack = iota
	// RepackIncremental rolls small packs up, so that each is at least twice as large as all
	// smaller ones together, and does no more.
	RepackIncremental
	// RepackGeometric does the same, and writes what makes reading fast: one index of all
	// packs, bitmaps, and the commit graph.
	RepackGeometric
	// RepackFull makes one pack of all that is reachable, with the same, and lets go of
	// unreachable objects that are older than two weeks.
	RepackFull
)

func (how Repack) String() string {
	return [...]string{"nothing", "incremental", "geometric", "full"}[how]
}

// Expiry is the age at which unreachable objects are let go of, in git's words.
const expiry = "2.weeks.ago"

// Repack repacks the repository. Nothing may be written to it meanwhile, but it may be
// read. If it is interrupted, [Repo.Sweep] clears away what is left, but for packs that
// were being removed: git removes the index first, and fails the next time if the rest is
// still there.
func (r Repo) Repack(ctx context.Context, how Repack) error {
	version, err := r.git.Version(ctx)
	if err != nil {
		return err
	}
	idLength, err := r.IDLength(ctx)
	if err != nil {
		return err
	}
	before, err := r.indexed()
	if err != nil {
		return err
	}
	err = r.inViewIfNeeded(idLength, func(view Repo) error {
		for _, c := range repackCommands(how, version) {
			c.dir = view.Dir
			c.patient = how != RepackIncremental // others wait for that
			if c.patient {
				c.settings = []string{"pack.threads", "1"}
			}
			if err := r.git.run(ctx, c); err != nil {
				return fmt.Errorf("git %s: %w", c.name, err)
			}
		}
		return nil
	})
	if err == nil {
		return nil
	}
	after, listErr := r.indexed()
	err = errors.Join(err, listErr)
	for pack := range before {
		if listErr == nil && !after[pack] {
			err = errors.Join(err, removePack(pack))
		}
	}
	return err
}

// indexed are the repository's packs that have an index, by their paths without an
// extension.
func (r Repo) indexed() (map[string]bool, error) {
	found, err := filepath.Glob(filepath.Join(globQuote(r.Dir), "objects/pack/*.idx"))
	all := make(map[string]bool, len(found))
	for _, path := range found {
		all[strings.TrimSuffix(path, ".idx")] = true
	}
	return all, err
}

// removePack removes what is left of a pack that has no index any more.
func removePack(pack string) (err error) {
	for _, ext := range []string{".pack", ".rev", ".bitmap", ".mtimes", ".promisor"} {
		if one := os.Remove(pack + ext); !errors.Is(one, fs.ErrNotExist) {
			err = errors.Join(err, one)
		}
	}
	return err
}

// stranded is how long a pack may be without an index before it counts as a leftover, and
// not as one that somebody is just copying in.
const stranded = time.Hour

// sweepPacks removes packs that have had no index for long: those that a killed command was
// writing or removing.
func (r Repo) sweepPacks(now time.Time) error {
	indexed, err := r.indexed()
	if err != nil {
		return err
	}
	packs, err := filepath.Glob(filepath.Join(globQuote(r.Dir), "objects/pack/pack-*.pack"))
	for _, path := range packs {
		pack := strings.TrimSuffix(path, ".pack")
		if indexed[pack] {
			continue
		}
		if at, statErr := changedAt(path); statErr == nil && now.Sub(at) > stranded {
			err = errors.Join(err, removePack(pack))
		}
	}
	return err
}

// changedAt is when a file was last changed or put where it is: unlike the time of its
// content, nobody copies that.
func changedAt(path string) (time.Time, error) {
	var st unix.Stat_t
	err := unix.Lstat(path, &st)
	return time.Unix(st.Ctim.Unix()), err
}

// repackCommands are what a version of git can do of it: rolling up since 2.32, indexes of many
// packs with bitmaps since 2.34, and packs of unreachable objects since 2.37.
func repackCommands(how Repack, version string) []command {
	repack := func(args ...string) command {
		// -n: nobody needs the files of the dumb protocol, which name all refs.
		return command{name: "repack", helpers: true, args: append([]string{"-q", "-n", "-d"}, args...)}
	}
	graph := command{name: "commit-graph", args: []string{"write", "--reachable", "--split", "--no-progress"}}
	wholeGraph := command{name: "commit-graph", args: []string{"write", "--reachable", "--split=replace", "--no-progress"}}
	switch {
	case how == RepackIncremental && atLeast(version, 2, 34):
		return []command{repack("--geometric=2", "--write-midx")}
	case how == RepackGeometric && atLeast(version, 2, 34):
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
