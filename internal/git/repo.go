package git

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
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

// ErrMoved is returned by [Repo.Fetch] if the origin no longer has an object that it listed
// before: it was pushed to in between.
var ErrMoved = errors.New("the origin changed while it was read")

// ErrNotFound is returned for a commit that a repository does not have, also if it has an
// object of another type with that id.
var ErrNotFound = errors.New("no such commit")

// IsRepo reports whether a directory looks like a repository, by git's own test: it has HEAD,
// objects and refs. The error says why that cannot be told.
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

// Init makes an empty repository for objects with ids of idLength hex digits (40 or 64; 0 means
// 40), and records where it is fetched from.
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

// SetOrigin writes the repository's remote.origin.url, for people to see. When it returns
// without an error, the change is on disk.
func (r Repo) SetOrigin(ctx context.Context, url string) error {
	err := r.git.run(ctx, command{name: "config", dir: r.Dir, args: []string{"remote.origin.url", url}})
	if err != nil {
		return err
	}
	return errors.Join(durable.Sync(filepath.Join(r.Dir, "config")), durable.Sync(r.Dir))
}

// Origin returns the repository's remote.origin.url, or "". Other keys of the configuration
// have no effect on that.
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

// IDLength returns the length of the repository's object ids in hex digits.
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

// FetchMode has options of a fetch.
type FetchMode struct {
	// Deepen makes the fetch bring the whole history, as far as the remote has it, if the
	// repository is shallow.
	Deepen bool
	// Clone says that the ids are those of all branches and tags of the remote, and perhaps of
	// other refs, which are ordinary ([Listing.IsOrdinary]). If the repository has no packs, they
	// are brought at less cost.
	Clone bool
	// Hold lists the ids that no ref names yet. The fetch gives each of them a temporary ref
	// (holdPrefix), so that no repack can drop the new objects before [Repo.Release].
	Hold []string
	// Packs is called for each transfer that is tried, and returns who gets the pack of it as it
	// comes, byte for byte, before it is checked. There may be several transfers, of which each
	// brings a part, or none brings anything. A nil Packs or writer is for nobody, and nobody gets the
	// pack of a remote whose history is cut off.
	Packs func() io.Writer
	// Limit is the most that a file may have which the fetch writes, in bytes; 0 for no limit. All
	// objects arrive in one file, or in one after the other.
	Limit int64
}

// newIDs returns the ids that the repository lacks. With Deepen, the others are fetched only
// for more of their history.
func (m FetchMode) newIDs(ids []string) []string {
	if m.Deepen {
		return m.Hold
	}
	return ids
}

// ErrTooLarge is returned by [Repo.Fetch] if more arrives than its limit permits.
var ErrTooLarge = errors.New("it has more than is permitted")

// Fetched is the result of a fetch.
type Fetched struct {
	Warnings Warnings          // about objects that were taken
	Refused  map[string]string // reasons, by the ids that were asked for and not brought
}

// Fetch brings objects from a remote, with everything that they need, and moves no ref. Without
// a ref that leads to them they are safe only until the next garbage collection. If some ids
// lead to objects that are refused (see [Fsck]), Fetch does not bring these, and returns them
// in Fetched without an error. The error is [ErrMoved] if the remote no longer has one of the
// ids, and ErrTooLarge if more
// arrives than mode permits. When Fetch returns without an error, the objects are on disk. No other command may write
// to the repository meanwhile.
func (r Repo) Fetch(ctx context.Context, remote Remote, ids []string, mode FetchMode, progress func(Progress)) (Fetched, error) {
	if len(ids) == 0 {
		return Fetched{}, nil
	}
	if err := r.git.checkPublic(remote); err != nil {
		return Fetched{}, err
	}
	remote = r.git.withCredentials(remote)
	before, err := r.objectFiles()
	if err != nil {
		return Fetched{}, err
	}
	var counted tally
	var refused, checked bool
	watched := func(p Progress) {
		checked = checked || p.isCheck()
		if progress != nil {
			progress(p)
		}
	}
	err = r.inViewIfNeeded(len(ids[0]), func(view Repo) error {
		transfer := view.transfer
		if mode.Clone && len(before.packs) == 0 {
			transfer = r.clone
		}
		for {
			settings, err := r.git.fsckSettings(ctx)
			if err != nil {
				return err
			}
			counted, refused, checked = tally{}, false, false
			err = transfer(ctx, remote, fetchRequest{ids: ids, FetchMode: mode}, settings, watched, func(f finding) {
				counted.record(f)
				refused = refused || f.refused
			})
			if !r.git.messages.recordFatal(err) {
				return err
			}
		}
	})
	if e := (*Error)(nil); refused && errors.As(err, &e) && e.Err == nil {
		if err := errors.Join(r.Sweep(), r.dropRefused(ctx, before.packs, ids)); err != nil {
			return Fetched{}, err
		}
		return r.fetchQuarantined(ctx, remote, fetchRequest{ids: ids, FetchMode: FetchMode{Packs: mode.Packs, Limit: mode.Limit}}, progress)
	}
	if err != nil {
		return Fetched{}, remote.withHint(err)
	}
	if newIDs := mode.newIDs(ids); !checked && len(newIDs) > 0 && r.git.fsck != FsckOff {
		if err := r.Release(); err != nil { // else the temporary refs would lead to them
			return Fetched{}, err
		}
		return r.examineHere(ctx, before, newIDs)
	}
	return Fetched{Warnings: counted.warnings()}, durable.Sync(filepath.Join(r.Dir, "objects", "pack"))
}

// holdPrefix begins the names of temporary refs to new objects. Git writes them before it
// removes the .keep file of the new pack, so that git repack -ad cannot drop the objects at any
// moment. That costs no process, but git reads all refs for it. To write the files before the
// fetch would cost less, but the refs would be broken until the objects arrive.
const holdPrefix = "refs/sould/incoming/"

// IsHold reports whether a ref is such a temporary one.
func IsHold(name string) bool { return strings.HasPrefix(name, holdPrefix) }

// Release removes the temporary refs of a fetch.
func (r Repo) Release() error {
	dir := filepath.Join(r.Dir, filepath.FromSlash(holdPrefix))
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	_ = os.Remove(filepath.Dir(dir)) // fails if other refs are in it
	return nil
}

// fetchRequest is what a transfer asks for.
type fetchRequest struct {
	ids []string
	FetchMode
	into string // for git clone: the directory of the repository that it makes
}

// refspecs are the lines that git fetch reads from standard input.
func (f fetchRequest) refspecs() string {
	hold := make(map[string]bool, len(f.Hold))
	for _, id := range f.Hold {
		hold[id] = true
	}
	var b strings.Builder
	for _, id := range f.ids {
		b.WriteString(id)
		if hold[id] {
			b.WriteString(":" + holdPrefix + id)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// transfer is the step of Fetch that talks to the remote. It calls found for each message about
// an object.
func (r Repo) transfer(
	ctx context.Context, remote Remote, request fetchRequest, settings []string, progress func(Progress), found func(finding),
) error {
	c := command{
		name: "fetch",
		dir:  r.Dir,
		args: []string{
			"--progress", // and not --quiet, with which index-pack says nothing
			"--refmap=", "--no-tags", "--no-write-fetch-head",
			"--no-auto-maintenance", "--no-recurse-submodules", "--stdin",
			"--update-shallow", // a shallow remote is mirrored as such
		},
	}
	c = c.transferring(settings, progress, found)
	if request.Deepen {
		c.args = append(c.args, "--depth="+wholeHistory)
	}
	return r.git.follow(ctx, c, remote, request)
}

// follow runs a command that transfers objects, wherever the remote redirects to. The error is
// [ErrMoved] if the remote no longer has what it listed.
func (g *Git) follow(ctx context.Context, c command, remote Remote, request fetchRequest) error {
	err := remote.authenticated(ctx, func(remote Remote) error {
		return g.followRedirects(ctx, remote, func(remote Remote) error { return g.transfer(ctx, c, remote, request) })
	})
	if e := (*Error)(nil); errors.As(err, &e) && e.Err == nil && movedText.MatchString(e.Stderr) {
		return fmt.Errorf("%w: %w", ErrMoved, err)
	}
	return err
}

// transferring is a command that transfers objects and calls found for each message about one.
func (c command) transferring(settings []string, progress func(Progress), found func(finding)) command {
	c.settings, c.helpers, c.progress, c.found = settings, true, progress, found
	return c
}

// wholeHistory is the depth that means no limit (git-fetch(1), --unshallow; that option itself
// is refused if the repository is not shallow).
const wholeHistory = "2147483647"

// transfer works in version 2 of the protocol, in which a server lists no ref unasked.
// Over git://, the small packets of version 2 stall, so that it is used only for servers that
// speak no other.
func (g *Git) transfer(ctx context.Context, c command, remote Remote, request fetchRequest) error {
	if !strings.HasPrefix(remote.URL, "git://") {
		return g.transferIn(ctx, c, remote, "2", request)
	}
	err := g.transferIn(ctx, c, remote, "0", request)
	if e := (*Error)(nil); errors.As(err, &e) && remote.answered(err) && refusedText.MatchString(e.Stderr) && !movedText.MatchString(e.Stderr) {
		return g.transferIn(ctx, c, remote, "2", request)
	}
	return err
}

func (g *Git) transferIn(ctx context.Context, c command, remote Remote, version string, request fetchRequest) error {
	c.args = append(slices.Clip(c.args), "--", remote.URL)
	if request.into != "" {
		c.args = append(c.args, request.into)
	} else {
		c.stdin = strings.NewReader(request.refspecs())
	}
	if request.Packs != nil {
		if w := request.Packs(); w != nil {
			c.packs = &wholeHistoryOnly{w: w, dir: cmp.Or(request.into, c.dir)}
		}
	}
	c.settings = append(remote.settings(version), c.settings...)
	c.env = g.envFor(remote)
	c.secrets, c.public, c.maxFile = remote.Secrets(), remote.Public, request.Limit
	if remote.webURL() != nil && !remote.Direct {
		c.answers = &lastAnswer{}
	}
	err := g.run(ctx, c)
	if e := (*Error)(nil); c.answers != nil && errors.As(err, &e) {
		c.answers.explain(e)
	}
	if e := (*Error)(nil); request.Limit > 0 && errors.As(err, &e) && saysAny(localLines(e.Stderr), fileTooLarge) {
		err = fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return err
}

// fileTooLarge are the words of the system for EFBIG (write(2)).
const fileTooLarge = "file too large"

// refusedText are git's words for a server that does not accept the version of the protocol.
var refusedText = regexp.MustCompile(`remote error|hung up|Could not read from remote repository`)

// movedText are the words in which servers say that they do not have an object: git in version
// 2 of the protocol, git in versions 0 and 1, JGit (on which many forges are based), Azure.
var movedText = regexp.MustCompile(`not our ref|does not allow request for unadvertised object|` +
	`want [0-9a-f]{40,64} not valid|TF401035: The object '[0-9a-f]{40,64}' does not exist`)

// Sweep removes what interrupted commands left behind: lock files, temporary packs and objects,
// packs without an index, and the .keep files that protect a pack while it is fetched. No
// command may be running in the repository.
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
		// On a full disk the note is empty. It is written before its pack.
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

// globQuote escapes a path for use in a pattern of filepath.Glob.
func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
