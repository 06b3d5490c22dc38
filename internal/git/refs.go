package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/durable"
)

// Refs are in two places: each in a file below refs/, which git writes, and all together in the
// file packed-refs (gitrepository-layout(5), git-pack-refs(1)). sould keeps all refs of a
// repository in packed-refs. It replaces that file by a rename, so that any number of refs
// change in one step, for every reader and for a power failure. Reading them needs no process.

// Refs reads the repository's refs and its HEAD. Unlike an origin's list, it shows a HEAD whose
// branch does not exist. A symbolic ref is read as the ref that it leads to; broken refs are
// left out.
func (r Repo) Refs(ctx context.Context) (Listing, error) {
	loose, err := r.looseRefs()
	if err != nil {
		return Listing{}, err
	}
	l, plain, err := r.readPacked()
	if err != nil {
		return l, err
	}
	if len(loose) > 0 || !plain {
		packed := l
		if l, err = r.askRefs(ctx); err != nil {
			return l, err
		}
		l = withBroken(l, packed, r.Dir, loose)
	}
	l.Head, err = r.readHead(l)
	return l, err
}

// withBroken adds the refs that git left out because their files are broken, with the values
// that they had when they were last packed.
func withBroken(l, packed Listing, dir string, loose []string) Listing {
	for _, ref := range packed.Refs {
		if _, found := l.Find(ref.Name); !found && slices.Contains(loose, filepath.Join(dir, filepath.FromSlash(ref.Name))) {
			l.Refs = append(slices.Clip(l.Refs), ref)
			slices.SortFunc(l.Refs, func(a, b Ref) int { return strings.Compare(a.Name, b.Name) })
		}
	}
	return l
}

// Stamp is equal at two moments if nobody has written the repository's refs in between, as far
// as the times and sizes of files tell. HasStamp compares it with the present.
func (r Repo) Stamp() string {
	s := stamper{repo: r}
	for _, name := range []string{"HEAD", "packed-refs", "refs"} {
		s.add(name)
	}
	// Git replaces the file of a ref by a rename, which changes the time of its directory.
	refs := filepath.Join(r.Dir, "refs")
	_ = filepath.WalkDir(refs, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && path != refs {
			s.add(strings.TrimPrefix(path, r.Dir+"/"))
		}
		return nil // an unreadable directory stays the same until it can be read
	})
	return s.text.String()
}

// PackRefs moves all refs into packed-refs, without changing one, and returns them. It must be
// called before WriteRefs if another program may have written refs.
func (r Repo) PackRefs(ctx context.Context) (Listing, error) {
	l, err := r.Refs(ctx)
	if err != nil {
		return l, err
	}
	loose, err := r.looseRefs()
	if err != nil || len(loose) == 0 {
		return l, err
	}
	if err := r.WriteRefs(l.Refs); err != nil {
		return l, err
	}
	return l, r.removeLoose(loose)
}

// looseRefs lists the files below refs/, except for lock files.
func (r Repo) looseRefs() ([]string, error) {
	if _, err := os.Stat(filepath.Join(r.Dir, "reftable")); err == nil {
		return nil, errors.New("its refs are in a reftable, but sould can only use files: convert them with git refs migrate --ref-format=files")
	}
	var loose []string
	err := filepath.WalkDir(filepath.Join(r.Dir, "refs"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !strings.HasSuffix(path, ".lock") {
			loose = append(loose, path)
		}
		return err
	})
	return loose, err
}

// removeLoose removes these files, and the directories that are empty then, except for
// refs/heads and the like.
func (r Repo) removeLoose(files []string) error {
	refs := filepath.Join(r.Dir, "refs")
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			return err
		}
		dir := filepath.Dir(file)
		for filepath.Dir(dir) != refs && dir != refs && os.Remove(dir) == nil { // fails if it is not empty
			dir = filepath.Dir(dir)
		}
		if err := durable.Sync(dir); err != nil {
			return err
		}
	}
	return nil
}

// packedHeader says that every tag is followed by its target, and that refs are sorted.
const packedHeader = "# pack-refs with: peeled fully-peeled sorted "

// readPacked reads packed-refs. plain is false if the file, which an old or another git wrote,
// may not tell all about the refs, or has a line that is not understood.
func (r Repo) readPacked() (l Listing, plain bool, err error) {
	text, err := os.ReadFile(filepath.Join(r.Dir, "packed-refs"))
	if errors.Is(err, fs.ErrNotExist) {
		return l, true, nil
	}
	if err != nil {
		return l, false, err
	}
	header, rest, _ := bytes.Cut(text, []byte("\n"))
	if !strings.HasPrefix(string(header)+" ", packedHeader) {
		return l, false, nil
	}
	l.Refs = make([]Ref, 0, bytes.Count(rest, []byte("\n")))
	for line := range strings.Lines(string(rest)) {
		line = strings.TrimSuffix(line, "\n")
		if peeled, ok := strings.CutPrefix(line, "^"); ok && IsID(peeled) && len(l.Refs) > 0 {
			l.Refs[len(l.Refs)-1].Peeled = strings.Clone(peeled)
			continue
		}
		id, name, ok := strings.Cut(line, " ")
		if !ok || !IsID(id) || len(l.Refs) > 0 && name <= l.Refs[len(l.Refs)-1].Name {
			return Listing{}, false, nil // let git read it
		}
		id = strings.Clone(id)
		l.Refs = append(l.Refs, Ref{Name: strings.Clone(name), ID: id, Peeled: id})
	}
	return l, true, nil
}

// Survivors reads the refs of a repository that may be damaged, line by line and file by file.
// Peeled is empty if it cannot be known without the objects. whole reports whether everything
// could be read.
func (r Repo) Survivors() (refs []Ref, whole bool) {
	ids := make(map[string]string) // by name
	text, err := os.ReadFile(filepath.Join(r.Dir, "packed-refs"))
	whole = err == nil && strings.HasPrefix(string(text), packedHeader)
	for line := range strings.Lines(string(text)) {
		line, complete := strings.CutSuffix(line, "\n")
		id, name, _ := strings.Cut(line, " ")
		switch {
		case strings.HasPrefix(line, "#"), strings.HasPrefix(line, "^"):
		case complete && IsID(id) && isFullName(name):
			ids[name] = id
		default:
			whole = false
		}
	}
	loose, err := r.looseRefs()
	whole = whole && err == nil
	for _, path := range loose {
		text, err := os.ReadFile(path)
		name, relErr := filepath.Rel(r.Dir, path)
		id := strings.TrimSpace(string(text))
		if err == nil && relErr == nil && IsID(id) && isFullName(name) {
			ids[name] = id
		} else {
			whole = false
		}
	}
	for _, name := range slices.Sorted(maps.Keys(ids)) {
		ref := Ref{Name: name, ID: ids[name]}
		if strings.HasPrefix(name, "refs/heads/") {
			ref.Peeled = ref.ID
		}
		refs = append(refs, ref)
	}
	return refs, whole
}

func isFullName(name string) bool { return strings.HasPrefix(name, "refs/") && IsRefName(name) }

// askRefs reads the refs with git.
func (r Repo) askRefs(ctx context.Context) (Listing, error) {
	out, err := r.git.output(ctx, command{
		name: "for-each-ref", dir: r.Dir, args: []string{"--format=%(objectname)%09%(refname)"},
	})
	if err != nil {
		return Listing{}, err
	}
	l, err := parseListing(string(out))
	if err != nil {
		return Listing{}, err
	}
	for i, ref := range l.Refs { // branches name commits, and need no look
		l.Refs[i].Peeled = ""
		if strings.HasPrefix(ref.Name, "refs/heads/") {
			l.Refs[i].Peeled = ref.ID
		}
	}
	missing, err := r.Peel(ctx, l.Refs)
	for _, i := range missing { // the other refs are still good
		l.Refs[i].Peeled = l.Refs[i].ID
	}
	return l, err
}

// readHead reads HEAD and looks up its branch among the refs of l.
func (r Repo) readHead(l Listing) (Head, error) {
	path := filepath.Join(r.Dir, "HEAD")
	text, err := os.ReadFile(path)
	if target, linkErr := os.Readlink(path); linkErr == nil { // as old versions of git wrote it
		text, err = []byte("ref: "+target), nil
	}
	if err != nil {
		return Head{}, err
	}
	if name, ok := strings.CutPrefix(string(text), "ref:"); ok {
		if name = strings.TrimSpace(name); IsRefName(name) {
			ref, _ := l.Find(name)
			return Head{Ref: name, ID: ref.Peeled}, nil
		}
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if id := strings.TrimSpace(line); IsID(id) {
		return Head{ID: id}, nil
	}
	return Head{}, fmt.Errorf("%w: %s is neither a ref nor a commit: %.80q", ErrDamaged, path, text)
}

// WriteRefs replaces all refs of the repository, in one step. refs are sorted by name. When it
// returns without an error, they are on disk. There must be no loose refs: see [Repo.PackRefs].
func (r Repo) WriteRefs(refs []Ref) error {
	var text bytes.Buffer
	text.Grow(100 * (len(refs) + 1))
	text.WriteString(packedHeader + "\n")
	for _, ref := range refs {
		text.WriteString(ref.ID + " " + ref.Name + "\n")
		if ref.Peeled != ref.ID && ref.Peeled != "" {
			text.WriteString("^" + ref.Peeled + "\n")
		}
	}
	return r.replace("packed-refs", text.Bytes())
}

// WriteHead makes HEAD name a branch or a commit.
func (r Repo) WriteHead(h Head) error {
	return r.replace("HEAD", []byte(h.text()))
}

// text is the content of the file HEAD.
func (h Head) text() string {
	if h.Detached() {
		return h.ID + "\n"
	}
	return "ref: " + h.Ref + "\n"
}

// replace writes a file as git does, under its lock, and syncs it.
func (r Repo) replace(name string, text []byte) error {
	path := filepath.Join(r.Dir, name)
	f, err := lockFile(path + ".lock")
	if err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		return errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return durable.Replace(f, path)
}

// lockPatience is how long git waits for the lock of packed-refs (git-config(1),
// core.packedRefsTimeout).
const lockPatience = time.Second

// lockFile creates the lock file of a file. It waits if there is one: somebody may be packing
// refs by hand.
func lockFile(path string) (*os.File, error) {
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(10 * time.Millisecond) {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("the lock did not go away within %s; a git that crashed may have left it: %w", lockPatience, err)
		}
	}
}
