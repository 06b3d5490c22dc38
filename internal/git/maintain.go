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

// Packs describes how a repository's objects are stored.
type Packs struct {
	Count int   // packs that a repack reads
	Size  int64 // the size of these packs, in bytes
	Loose int   // loose objects, estimated

	Unreachable int // packs of unreachable objects
}

// Packs reads this from the directories, without a process.
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
		// A pack with .mtimes holds unreachable objects; a repack does not combine it with
		// others.
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
	// Ids are random, so that one directory of 256 is a sample.
	sample, err := os.ReadDir(filepath.Join(r.Dir, "objects", "17"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return p, err
	}
	p.Loose = 256 * len(sample)
	return p, nil
}

// Repack is a kind of repack.
type Repack int

const (
	// RepackNone does nothing.
	RepackNone Repack = iota
	// RepackIncremental combines small packs, so that each pack is at least twice as large as
	// all smaller ones together.
	RepackIncremental
	// RepackGeometric does the same, and writes what makes reading fast: one index of all
	// packs, bitmaps, and the commit graph.
	RepackGeometric
	// RepackFull makes one pack of all reachable objects, writes the same, and deletes
	// unreachable objects that are older than two weeks.
	RepackFull
)

func (how Repack) String() string {
	return [...]string{"nothing", "incremental", "geometric", "full"}[how]
}

// expiry is the age at which unreachable objects are deleted, in git's words.
const expiry = "2.weeks.ago"

// Repack repacks the repository. Nobody may write to it meanwhile, but it may be read. If a
// repack is interrupted, [Repo.Sweep] removes what is left. Packs that git was just removing go
// at once: git removes the index of a pack first, and fails the next time if the rest is still
// there.
func (r Repo) Repack(ctx context.Context, how Repack) error {
	version, err := r.git.Version(ctx)
	if err != nil {
		return err
	}
	idLength, err := r.IDLength(ctx)
	if err != nil {
		return err
	}
	before, err := r.indexedPacks()
	if err != nil {
		return err
	}
	err = r.inViewIfNeeded(idLength, func(view Repo) error {
		for _, c := range repackCommands(how, version) {
			c.dir = view.Dir
			c.lowPriority = how != RepackIncremental // others wait for an incremental one
			if c.lowPriority {
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
	after, listErr := r.indexedPacks()
	err = errors.Join(err, listErr)
	for pack := range before {
		if listErr == nil && !after[pack] {
			err = errors.Join(err, removePack(pack))
		}
	}
	return err
}

// indexedPacks are the repository's packs that have an index, by their paths without an
// extension.
func (r Repo) indexedPacks() (map[string]bool, error) {
	found, err := filepath.Glob(filepath.Join(globQuote(r.Dir), "objects/pack/*.idx"))
	all := make(map[string]bool, len(found))
	for _, path := range found {
		all[strings.TrimSuffix(path, ".idx")] = true
	}
	return all, err
}

// removePack removes the files of a pack that has no index any more.
func removePack(pack string) (err error) {
	for _, ext := range []string{".pack", ".rev", ".bitmap", ".mtimes", ".promisor"} {
		if removeErr := os.Remove(pack + ext); !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	}
	return err
}

// strandedAge is how long a pack may lack an index until it counts as a leftover: somebody may
// be copying it in.
const strandedAge = time.Hour

// sweepPacks removes packs that have lacked an index for long: a killed command was writing or
// removing them.
func (r Repo) sweepPacks(now time.Time) error {
	indexed, err := r.indexedPacks()
	if err != nil {
		return err
	}
	packs, err := filepath.Glob(filepath.Join(globQuote(r.Dir), "objects/pack/pack-*.pack"))
	for _, path := range packs {
		pack := strings.TrimSuffix(path, ".pack")
		if indexed[pack] {
			continue
		}
		if at, statErr := changedAt(path); statErr == nil && now.Sub(at) > strandedAge {
			err = errors.Join(err, removePack(pack))
		}
	}
	return err
}

// changedAt is when a file's inode last changed (inode(7), ctime). Unlike the time of the
// content, no copy preserves it.
func changedAt(path string) (time.Time, error) {
	var st unix.Stat_t
	err := unix.Lstat(path, &st)
	return time.Unix(st.Ctim.Unix()), err
}

// repackCommands are the commands of a repack for a version of git. Git can combine packs since
// 2.32, index many packs with bitmaps since 2.34, and keep unreachable objects in packs since
// 2.37 (git-repack(1)).
func repackCommands(how Repack, version string) []command {
	repack := func(args ...string) command {
		// -n: nobody needs the files of the dumb HTTP protocol, which list all refs.
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
			{name: "prune", args: []string{"--expire=" + expiry}}, // loose objects of an older git's repacks
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

// atLeast reports whether a version, as [Git.Version] returns it, is this one or newer.
func atLeast(version string, major, minor int) bool {
	var haveMajor, haveMinor int
	if _, err := fmt.Sscanf(version, "%d.%d", &haveMajor, &haveMinor); err != nil {
		return false
	}
	return haveMajor > major || haveMajor == major && haveMinor >= minor
}
