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

// Refs live in two places: a file each below refs/, which git writes, and all
// together in the file packed-refs (gitrepository-layout(5), git-pack-refs(1)). A
// repository that is kept here has them all in packed-refs. That file is replaced
// by a rename, so that a change of any number of refs is one step, for every reader
// and for a power failure, and reading them needs no process.

// Refs reads the repository's refs and its HEAD, wherever they are. Unlike that of
// an origin, Head also tells of a branch that does not exist. Refs that name other
// refs are read as what they lead to; broken ones are left out.
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

// withBroken adds refs that git has left out because their files are broken, with
// the values that they had when they were last packed.
func withBroken(l, packed Listing, dir string, loose []string) Listing {
	for _, ref := range packed.Refs {
		if _, found := l.Find(ref.Name); !found && slices.Contains(loose, filepath.Join(dir, filepath.FromSlash(ref.Name))) {
			l.Refs = append(slices.Clip(l.Refs), ref)
			slices.SortFunc(l.Refs, func(a, b Ref) int { return strings.Compare(a.Name, b.Name) })
		}
	}
	return l
}

// Stamp is equal for two moments between which nobody has written the repository's
// refs, as far as can be told without reading them.
func (r Repo) Stamp() string {
	var b strings.Builder
	note := func(name, path string) {
		if info, err := os.Stat(path); err == nil {
			fmt.Fprintf(&b, "%s %d %d;", name, info.ModTime().UnixNano(), info.Size())
		}
	}
	for _, name := range []string{"HEAD", "packed-refs"} {
		note(name, filepath.Join(r.Dir, name))
	}
	// Git replaces the file of a ref by a rename, which its directory tells.
	refs := filepath.Join(r.Dir, "refs")
	_ = filepath.WalkDir(refs, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			note(strings.TrimPrefix(path, r.Dir), path)
		}
		return nil // what cannot be read is the same until it can
	})
	return b.String()
}

// PackRefs puts all refs into packed-refs, without changing one, and returns them. It
// must be called before WriteRefs if somebody else may have written refs.
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

// looseRefs lists the files below refs/. There may be none but lock files in a
// repository whose refs are packed.
func (r Repo) looseRefs() ([]string, error) {
	if _, err := os.Stat(filepath.Join(r.Dir, "reftable")); err == nil {
		return nil, errors.New("its refs are in a reftable; sould reads and writes those that are files (git refs migrate --ref-format=files)")
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

// removeLoose removes these files and the directories that are empty then, but for
// refs/heads and its like.
func (r Repo) removeLoose(files []string) error {
	refs := filepath.Join(r.Dir, "refs")
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			return err
		}
		dir := filepath.Dir(file)
		for filepath.Dir(dir) != refs && dir != refs && os.Remove(dir) == nil { // until one is not empty
			dir = filepath.Dir(dir)
		}
		if err := durable.Sync(dir); err != nil {
			return err
		}
	}
	return nil
}

// packedHeader says that every tag's target follows it, and that refs are sorted.
const packedHeader = "# pack-refs with: peeled fully-peeled sorted "

// readPacked reads packed-refs. plain reports whether it says everything: a file that
// an old or another git has written may not.
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
			return Listing{}, false, nil // let git see what it makes of it
		}
		id = strings.Clone(id)
		l.Refs = append(l.Refs, Ref{Name: strings.Clone(name), ID: id, Peeled: id})
	}
	return l, true, nil
}

// Survivors reads the refs of a repository that may be damaged, line by line and file by
// file. Peeled is empty where only the objects can tell. whole reports whether all was
// read.
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

// askRefs has git read the refs.
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
	for i, ref := range l.Refs { // branches name commits and need no asking
		l.Refs[i].Peeled = ""
		if strings.HasPrefix(ref.Name, "refs/heads/") {
			l.Refs[i].Peeled = ref.ID
		}
	}
	missing, err := r.Peel(ctx, l.Refs)
	for _, i := range missing { // no reason to refuse the others
		l.Refs[i].Peeled = l.Refs[i].ID
	}
	return l, err
}

// Peel fills in what the refs lead to whose Peeled is empty, and returns the
// positions of those whose object is missing or, if it must be a commit, is none.
func (r Repo) Peel(ctx context.Context, refs []Ref) (missing []int, err error) {
	var ask []int
	var stdin bytes.Buffer
	for i, ref := range refs {
		if ref.Peeled == "" {
			ask = append(ask, i)
			kind := ""
			if ref.IsCommit() {
				kind = "commit"
			}
			stdin.WriteString(ref.ID + "^{" + kind + "}\n")
		}
	}
	if len(ask) == 0 {
		return nil, nil
	}
	out, err := r.git.output(ctx, command{
		name: "cat-file", dir: r.Dir, args: []string{"--batch-check=%(objectname)"}, stdin: &stdin,
	})
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(lines) != len(ask) {
		return nil, fmt.Errorf("git cat-file answered %d of %d questions", len(lines), len(ask))
	}
	for i, line := range lines {
		if ref := &refs[ask[i]]; IsID(line) && (line == ref.ID || !ref.IsCommit()) {
			ref.Peeled = line
		} else {
			missing = append(missing, ask[i])
		}
	}
	return missing, nil
}

// readHead reads HEAD and finds its branch among the refs.
func (r Repo) readHead(l Listing) (Head, error) {
	path := filepath.Join(r.Dir, "HEAD")
	text, err := os.ReadFile(path)
	if target, linkErr := os.Readlink(path); linkErr == nil { // as in the first years of git
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

// WriteRefs makes these the repository's refs, sorted by name, in one step. When it
// returns without an error, they are on disk. All refs must be packed.
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

// text is what the file HEAD says.
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

// lockPatience is how long git waits for whoever writes packed-refs (git-config(1),
// core.packedRefsTimeout).
const lockPatience = time.Second

// lockFile makes the lock of a file, and waits for who has it: somebody may be packing refs by
// hand.
func lockFile(path string) (*os.File, error) {
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(10 * time.Millisecond) {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("a git that writes there, or that has crashed, holds the lock for %s already: %w", lockPatience, err)
		}
	}
}
