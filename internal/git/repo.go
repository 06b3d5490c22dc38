package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/reconquest/sould/internal/durable"
)

// Repo is a bare repository in a directory.
type Repo struct {
	git *Git
	Dir string // absolute
}

// Repo returns the repository in dir, which need not exist yet.
func (g *Git) Repo(dir string) Repo { return Repo{git: g, Dir: dir} }

// ErrMoved is returned by [Repo.Fetch] when the origin no longer has an object
// that it listed a moment ago: it was pushed to in between.
var ErrMoved = errors.New("the origin changed while it was read")

// ErrNotFound is returned for an object that a repository does not have, or has
// with another type.
var ErrNotFound = errors.New("no such commit")

// IsRepo reports whether a directory looks like a repository, by git's own test: a
// HEAD, objects and refs. The error says why that cannot be told.
func IsRepo(dir string) (bool, error) {
	for _, name := range []string{"objects", "refs", "HEAD"} {
		info, err := os.Lstat(filepath.Join(dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			return false, nil
		case err != nil:
			return false, err
		case info.Mode().IsRegular() != (name == "HEAD") && info.Mode()&fs.ModeSymlink == 0:
			return false, nil
		}
	}
	return true, nil
}

// Init makes an empty repository for objects of the given id length (40 or 64
// hex digits; 0 for 40) and notes where it will be fetched from.
func (r Repo) Init(ctx context.Context, idLength int, origin string) error {
	format := "sha1"
	if idLength == 64 {
		format = "sha256"
	}
	err := r.git.run(ctx, command{
		name: "init",
		dir:  r.Dir,
		args: []string{"--quiet", "--bare", "--template=", "--initial-branch=main", "--object-format=" + format},
	})
	if err != nil || origin == "" {
		return err
	}
	return r.SetOrigin(ctx, origin)
}

// SetOrigin writes the repository's remote.origin.url, for people who look at it. When it
// returns without an error, that is on disk.
func (r Repo) SetOrigin(ctx context.Context, url string) error {
	err := r.git.run(ctx, command{name: "config", dir: r.Dir, args: []string{"remote.origin.url", url}})
	if err != nil {
		return err
	}
	return errors.Join(durable.Sync(filepath.Join(r.Dir, "config")), durable.Sync(r.Dir))
}

// Origin returns the repository's remote.origin.url, or "", whatever else its configuration
// says.
func (r Repo) Origin(ctx context.Context) (string, error) {
	out, err := r.git.output(ctx, command{
		name: "config",
		args: []string{"--file", filepath.Join(r.Dir, "config"), "--get", "remote.origin.url"},
	})
	if e := (*Error)(nil); errors.As(err, &e) && e.ExitCode == 1 {
		return "", nil
	}
	return strings.TrimSpace(string(out)), err
}

// IDLength returns how many hex digits the repository's object ids have.
func (r Repo) IDLength(ctx context.Context) (int, error) {
	out, err := r.git.output(ctx, command{name: "rev-parse", dir: r.Dir, args: []string{"--show-object-format"}})
	if err != nil {
		return 0, err
	}
	if strings.TrimSpace(string(out)) == "sha256" {
		return 64, nil
	}
	return 40, nil
}

// FetchMode says more about a fetch.
type FetchMode struct {
	// Deepen brings the whole history too, as far as the remote has it, if the repository is
	// shallow.
	Deepen bool
	// Hold lists the ids that no ref names yet. The fetch gives each of them a temporary ref
	// (holdPrefix), so that no repack can drop the new objects before [Repo.Release].
	Hold []string
}

// fresh returns the ids that the repository lacks. With Deepen, others are asked for only to
// get more of their history.
func (m FetchMode) fresh(ids []string) []string {
	if m.Deepen {
		return m.Hold
	}
	return ids
}

// Fetched is what a fetch has to tell of what came.
type Fetched struct {
	Warnings Warnings          // of what was taken
	Refused  map[string]string // why, by the ids that were asked for and are not here
}

// Fetch brings objects from a remote, with everything that they need, and moves
// no ref. Without a ref that leads to them they are safe only until the next
// garbage collection. What leads to an object that is refused (see [Fsck]) is not
// brought, and no error. The error is [ErrMoved] if the remote does not have one of
// them any more. When Fetch returns without one, they are on disk. No command may be
// writing to the repository.
func (r Repo) Fetch(ctx context.Context, remote Remote, ids []string, mode FetchMode, progress func(string)) (Fetched, error) {
	if len(ids) == 0 {
		return Fetched{}, nil
	}
	remote = remote.completed()
	before, err := r.indexed()
	if err != nil {
		return Fetched{}, err
	}
	var counted tally
	var refused bool
	err = r.inViewIfNeeded(len(ids[0]), func(view Repo) error {
		for {
			settings, err := r.git.fsckSettings(ctx)
			if err != nil {
				return err
			}
			counted, refused = tally{}, false
			err = view.transfer(ctx, remote, wanted{ids, mode}, settings, progress, func(f finding) {
				counted.note(f)
				refused = refused || f.refused
			})
			if !r.git.messages.learn(err) {
				return err
			}
		}
	})
	if e := (*Error)(nil); refused && errors.As(err, &e) && e.Err == nil {
		if err := errors.Join(r.Sweep(), r.dropRefused(ctx, before, ids)); err != nil {
			return Fetched{}, err
		}
		return r.fetchApart(ctx, remote, ids, progress)
	}
	if err != nil {
		return Fetched{}, remote.hinted(err)
	}
	if came, err := r.hasMore(before); err != nil {
		return Fetched{}, err
	} else if fresh := mode.fresh(ids); !came && len(fresh) > 0 && r.git.fsck != FsckOff {
		if err := r.Release(); err != nil { // else it would seem as if refs led to them
			return Fetched{}, err
		}
		return r.examineHere(ctx, fresh)
	}
	return Fetched{Warnings: counted.warnings()}, durable.Sync(filepath.Join(r.Dir, "objects", "pack"))
}

// hasMore reports whether the repository has a pack that it did not have before.
func (r Repo) hasMore(before map[string]bool) (bool, error) {
	after, err := r.indexed()
	for pack := range after {
		if !before[pack] {
			return true, err
		}
	}
	return false, err
}

// holdPrefix is where a fetch puts temporary refs to the new objects. Git writes them before it
// removes the .keep file of the new pack, so that git repack -ad can drop the objects at no
// moment. That costs no process, but git reads all refs for it. If we wrote the files before
// the fetch, that would cost less, but the refs would be broken until the objects arrive.
const holdPrefix = "refs/sould/incoming/"

// IsHold reports whether a ref only holds what was fetched.
func IsHold(name string) bool { return strings.HasPrefix(name, holdPrefix) }

// Release lets go of what a fetch has held. Refs lead to it, or nobody wants it.
func (r Repo) Release() error {
	dir := filepath.Join(r.Dir, filepath.FromSlash(holdPrefix))
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	_ = os.Remove(filepath.Dir(dir)) // unless it has something else
	return nil
}

// wanted is what a fetch asks for.
type wanted struct {
	ids []string
	FetchMode
}

// refspecs are the lines that tell git so.
func (w wanted) refspecs() string {
	hold := make(map[string]bool, len(w.Hold))
	for _, id := range w.Hold {
		hold[id] = true
	}
	var b strings.Builder
	for _, id := range w.ids {
		b.WriteString(id)
		if hold[id] {
			b.WriteString(":" + holdPrefix + id)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// transfer is the one step of Fetch that talks to the remote. What git says of objects goes
// to heard.
func (r Repo) transfer(
	ctx context.Context, remote Remote, want wanted, settings []string, progress func(string), heard func(finding),
) error {
	c := command{
		name: "fetch",
		dir:  r.Dir,
		args: []string{
			"--quiet", "--progress", "--refmap=", "--no-tags", "--no-write-fetch-head",
			"--no-auto-maintenance", "--no-recurse-submodules", "--stdin",
			"--update-shallow", // what a shallow remote has is mirrored as what it is
		},
		settings: settings,
		helpers:  true,
		progress: progress,
		heard:    heard,
	}
	if want.Deepen {
		c.args = append(c.args, "--depth="+wholeHistory)
	}
	err := r.git.following(ctx, remote, func(remote Remote) error { return r.git.transfer(ctx, c, remote, want) })
	if e := (*Error)(nil); errors.As(err, &e) && e.Err == nil && movedText.MatchString(e.Stderr) {
		return fmt.Errorf("%w: %w", ErrMoved, err)
	}
	return err
}

// wholeHistory is the depth that git takes for no limit (git-fetch(1), --unshallow, which a
// repository that is whole already refuses).
const wholeHistory = "2147483647"

// transfer asks for objects in version 2 of the protocol, which sends no list of refs. Over
// git:// its small packets stall, so that it is only for servers that speak no other.
func (g *Git) transfer(ctx context.Context, c command, remote Remote, want wanted) error {
	if !strings.HasPrefix(remote.URL, "git://") {
		return g.transferIn(ctx, c, remote, "2", want)
	}
	err := g.transferIn(ctx, c, remote, "0", want)
	if e := (*Error)(nil); errors.As(err, &e) && remote.answered(err) && refusedText.MatchString(e.Stderr) && !movedText.MatchString(e.Stderr) {
		return g.transferIn(ctx, c, remote, "2", want)
	}
	return err
}

func (g *Git) transferIn(ctx context.Context, c command, remote Remote, version string, want wanted) error {
	c.args = append(slices.Clip(c.args), "--", remote.URL)
	c.settings = append(remote.settings(version), c.settings...)
	c.env = g.envFor(remote)
	c.secrets = remote.Secrets()
	c.stdin = strings.NewReader(want.refspecs())
	return g.run(ctx, c)
}

// refusedText are the words of git when a server does not greet it.
var refusedText = regexp.MustCompile(`remote error|hung up|Could not read from remote repository`)

// movedText are the words in which servers say that they do not have an object: git in
// version 2 of the protocol, and in 0 and 1; JGit, which many forges are made of; Azure.
var movedText = regexp.MustCompile(`not our ref|does not allow request for unadvertised object|` +
	`want [0-9a-f]{40,64} not valid|TF401035: The object '[0-9a-f]{40,64}' does not exist`)

// Commit returns the id of the commit that id is or, for an annotated tag, leads
// to. Without one, the error is [ErrNotFound].
func (r Repo) Commit(ctx context.Context, id string) (string, error) {
	out, err := r.git.output(ctx, command{
		name: "cat-file", dir: r.Dir, args: []string{"--batch-check=%(objectname)"},
		stdin: strings.NewReader(id + "^{commit}\n"),
	})
	if err != nil {
		return "", err
	}
	// 40 digits are the beginning of an id where a full one has 64.
	if commit := strings.TrimSpace(string(out)); IsID(commit) && len(commit) == len(id) {
		return commit, nil
	}
	return "", ErrNotFound
}

// IsAncestor reports whether commit is reachable from descendant. If the
// repository does not have one of them, the error is [ErrNotFound].
func (r Repo) IsAncestor(ctx context.Context, commit, descendant string) (bool, error) {
	for _, id := range []string{commit, descendant} {
		if _, err := r.Commit(ctx, id); err != nil {
			return false, err
		}
	}
	err := r.git.run(ctx, command{
		name: "merge-base", dir: r.Dir, args: []string{"--is-ancestor", commit, descendant},
	})
	if e := (*Error)(nil); errors.As(err, &e) && e.ExitCode == 1 {
		return false, nil
	}
	return err == nil, err
}

// Sweep removes what interrupted commands left behind: lock files, temporary
// packs and objects, packs without an index, and the notes that protect a pack while it is
// fetched. No command may be running in the repository.
func (r Repo) Sweep() error {
	var stale []string
	for _, pattern := range []string{
		"*.lock", "packed-refs.new", "objects/info/*.lock", "objects/info/commit-graphs/*.lock",
		"objects/pack/tmp_*", "objects/pack/.tmp-*", "objects/pack/*.lock", "objects/[0-9a-f][0-9a-f]/tmp_obj_*",
		"objects/tmp_objdir-*", "objects/bitmap-ref-tips_*", "objects/info/commit-graphs/tmp_*",
	} {
		found, err := filepath.Glob(filepath.Join(globQuote(r.Dir), pattern))
		if err != nil {
			return err
		}
		stale = append(stale, found...)
	}
	keeps, err := filepath.Glob(filepath.Join(globQuote(r.Dir), "objects/pack/*.keep"))
	if err != nil {
		return err
	}
	for _, keep := range keeps {
		note, err := os.ReadFile(keep)
		_, packErr := os.Lstat(strings.TrimSuffix(keep, ".keep") + ".pack")
		// On a full disk the note is empty. It comes before its pack.
		if err == nil && bytes.HasPrefix(note, []byte("fetch-pack ")) || errors.Is(packErr, fs.ErrNotExist) {
			stale = append(stale, keep)
		}
	}
	err = filepath.WalkDir(filepath.Join(r.Dir, "refs"), func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(path, ".lock") {
			stale = append(stale, path)
		}
		return err
	})
	for _, path := range stale {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return errors.Join(err, r.Release(), r.sweepPacks(time.Now()))
}

// globQuote protects a path from being read as a pattern.
func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
