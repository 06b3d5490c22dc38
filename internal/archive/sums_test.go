package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/spool"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/tests/origin"
)

func TestStamps(t *testing.T) {
	second := func(n int64) time.Time { return time.Unix(n, 0) }
	at := func(inode uint64, size, modified, changed int64) stamp {
		return stamp{inode, size, modified * 1e9, changed * 1e9}
	}
	for _, c := range []struct {
		what string
		s    *sum
		now  stamp
		want bool
	}{
		{"new", &sum{made: true, size: 5, finished: second(10)}, at(1, 5, 10, 10), true},
		{"new, and has got its name", &sum{made: true, size: 5, finished: second(10)}, at(1, 5, 9, 12), true},
		{"written to afterwards", &sum{made: true, size: 5, finished: second(10)}, at(1, 5, 11, 11), false},
		{"truncated", &sum{made: true, size: 5, finished: second(10)}, at(1, 4, 9, 9), false},
		{"gone", &sum{made: true, size: 5, finished: second(10)}, stamp{}, false},
		{"found", &sum{}, at(1, 5, 9, 9), false},
		{"as it was", &sum{stamp: at(1, 5, 9, 9)}, at(1, 5, 9, 9), true},
		{"written to since", &sum{stamp: at(1, 5, 9, 9)}, at(1, 5, 10, 10), false},
		{"with its time set back", &sum{stamp: at(1, 5, 9, 9)}, at(1, 5, 9, 10), false},
		{"another file", &sum{stamp: at(1, 5, 9, 9)}, at(2, 5, 9, 9), false},
	} {
		if got := c.s.fits(c.now); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
	for _, c := range []struct {
		what          string
		before, after stamp
		want          bool
	}{
		{"a touch", at(1, 5, 1, 1), at(1, 5, 11, 11), true},
		{"before", at(1, 5, 1, 1), at(1, 5, 9, 11), false},
		{"to a time that is to come", at(1, 5, 1, 1), at(1, 5, 13, 11), false},
		{"of another file", at(1, 5, 1, 1), at(2, 5, 11, 11), false},
		{"of one that has grown", at(1, 5, 1, 1), at(1, 6, 11, 11), false},
	} {
		if got := isTouch(c.before, c.after, second(10), second(12)); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}

// TestEnd says of which files a digest is kept that was computed.
func TestEnd(t *testing.T) {
	one, other := Digest{1}, Digest{2}
	file, touched := stamp{1, 5, 1, 1}, stamp{1, 5, 1, 2}
	made := func(size int64) *sum { return &sum{made: true, size: size, finished: time.Unix(1, 0)} }
	for _, c := range []struct {
		what          string
		s             *sum
		before, after stamp
		want          verdict
		made          bool
	}{
		{"found", &sum{}, file, file, taken, false},
		{"changed meanwhile", &sum{}, file, stamp{1, 5, 2, 2}, unsettled, false},
		{"truncated meanwhile", &sum{}, file, stamp{1, 4, 1, 2}, unsettled, false},
		{"new", made(5), file, file, taken, true},
		{"new, and has got its name meanwhile", made(5), file, touched, taken, true},
		{"new, and shorter than it was made", made(6), file, file, refused, false},
		{"new, and written to since", &sum{made: true, size: 5}, file, file, taken, false},
		{"known, and its mode was changed", &sum{made: true, size: 5, known: true, digest: one, stamp: file}, touched, touched, taken, true},
		{"known, and its content was changed", &sum{made: true, size: 5, known: true, digest: other, stamp: file}, touched, touched, refused, true},
	} {
		c.s.begin(c.before)
		if got := c.s.end(one, c.after); got != c.want || c.s.made != c.made {
			t.Errorf("%s: %v, as what was made: %v", c.what, got, c.s.made)
		}
		if got, known := c.s.believe(c.after); known != (c.want == taken) || known && got != one {
			t.Errorf("%s: then %s, %v", c.what, got, known)
		}
	}
	// While it is read, the cache may set its time.
	s := &sum{}
	s.begin(file)
	s.stamp = touched // as watch does
	if got := s.end(one, touched); got != taken {
		t.Errorf("touched by the cache meanwhile: %v", got)
	}
}

// kept is a cache with a mirror.
type kept struct {
	t      *testing.T
	dir    *storage.Dir
	files  *spool.Cache
	cache  *Cache
	mirror *mirror.Mirror
	commit string
}

func newKept(t *testing.T) *kept {
	t.Helper()
	dir, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	name, err := storage.ParseName("m")
	if err != nil {
		t.Fatal(err)
	}
	r := origin.New(t, dir.MirrorDir(name))
	k := &kept{t: t, dir: dir, commit: r.Commit("main", map[string]string{"small": "x", "large": strings.Repeat("0123456789abcdef", 1<<17)})}
	opts := &mirror.Options{Git: git.New(git.Options{}), MaxFetches: 1, FetchTimeout: time.Minute, ListTimeout: time.Minute}
	store := mirror.NewStore(t.Context(), mirror.Parts{Dir: dir, Log: slog.New(slog.DiscardHandler), MaxLists: 1}, opts)
	if k.mirror, err = store.Get(name); err != nil {
		t.Fatal(err)
	}
	k.start()
	t.Cleanup(func() {
		k.files.Close()
		store.Wait()
		dir.Close()
	})
	return k
}

// start is what a start of the server does.
func (k *kept) start() {
	k.t.Helper()
	var err error
	if k.files, err = spool.Open(k.dir.Own("cache"), 1<<30); err != nil {
		k.t.Fatal(err)
	}
	k.cache = NewCache(k.files, k.dir.Neutral, &Options{MaxArchives: 1, Timeout: time.Minute, Limit: 1 << 30})
}

func (k *kept) archive(path string) Archive {
	return Archive{Commit: k.commit, Format: Tar, Paths: NewPaths([]string{path})}
}

// get returns an archive that is finished, and its bytes.
func (k *kept) get(path string) (*Reader, []byte) {
	k.t.Helper()
	r, err := k.cache.Get(k.mirror, k.archive(path), false)
	if err == nil {
		err = r.Wait(k.t.Context())
	}
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { r.Close() })
	f, err := r.Open()
	if err != nil {
		k.t.Fatal(err)
	}
	content, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<30))
	if err != nil {
		k.t.Fatal(err)
	}
	return r, content
}

// file waits until an archive has its name, and returns that.
func (k *kept) file(r *Reader) string {
	k.t.Helper()
	path := r.cache.cache.Path(r.key)
	changes, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		k.t.Fatal(err)
	}
	defer unix.Close(changes)
	if _, err := unix.InotifyAddWatch(changes, filepath.Dir(path), unix.IN_MOVED_TO); err != nil {
		k.t.Fatal(err)
	}
	for {
		if _, err := os.Stat(path); err == nil {
			return path
		}
		if _, err := unix.Read(changes, make([]byte, 4096)); err != nil && err != unix.EINTR {
			k.t.Fatal(err)
		}
	}
}

// want checks what the digest of an archive is. If computed is false, that must be known.
func (k *kept) want(r *Reader, content []byte, computed bool) {
	k.t.Helper()
	ctx, cancel := context.WithCancel(k.t.Context())
	defer cancel()
	if s := k.cache.sums.add(r.id); !computed {
		s.turn <- struct{}{} // so that whoever wants to compute it waits
		defer func() { <-s.turn }()
		cancel()
	}
	digest, known, err := r.Digest(ctx, true)
	if digest != sha256.Sum256(content) || !known || err != nil {
		k.t.Errorf("%s: the digest is %s (%v), %v; want that of %d bytes", k.t.Name(), digest, known, err, len(content))
	}
}

func TestDigestIsComputedOnce(t *testing.T) {
	k := newKept(t)
	for _, path := range []string{"small", "large"} {
		r, content := k.get(path)
		k.want(r, content, path == "large") // a small one was hashed while it was made
		k.want(r, content, false)
		k.file(r)
		k.want(r, content, false)
		for range 3 { // the first of them has the cache set its time
			found := k.cache.Find(k.mirror, k.archive(path))
			k.want(found, content, false)
			found.Close()
		}
		if digest, known := k.cache.Digest(k.mirror, k.archive(path)); !known || digest != sha256.Sum256(content) {
			t.Errorf("%s: without a look at the file it is %s, %v", path, digest, known)
		}
	}
	// Of what is found nothing is known, until it was read.
	k.files.Close()
	k.start()
	found := k.cache.Find(k.mirror, k.archive("large"))
	_, content := k.get("large")
	k.want(found, content, true)
	k.want(found, content, false)
	found.Close()
	if _, known := k.cache.Digest(k.mirror, k.archive("large")); known {
		t.Error("what is found passes for what was made")
	}
}

// TestDigestsThatNobodyWaitsFor are computed by Run, for each archive that is closed without one.
func TestDigestsThatNobodyWaitsFor(t *testing.T) {
	k := newKept(t)
	r, content := k.get("large")
	k.file(r) // before it has its name, a digest may be of what is taken for another file
	r.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	k.cache.hashIdle(ctx, <-k.cache.sums.later)
	if digest, known := k.cache.Digest(k.mirror, k.archive("large")); !known || digest != sha256.Sum256(content) {
		t.Errorf("it is %s, %v", digest, known)
	}
	cancel()
	k.cache.Run(ctx) // ends
}

// awaitTick waits until what is written has a later time than a file: the clock for the times of files is coarse.
func awaitTick(t *testing.T, path string) {
	t.Helper()
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	probe := filepath.Join(t.TempDir(), "probe")
	for {
		if err := os.WriteFile(probe, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		now, err := os.Stat(probe)
		if err != nil {
			t.Fatal(err)
		}
		if now.ModTime().After(before.ModTime()) {
			return
		}
	}
}

// TestDigestOfAChangedFile: no digest is ever sent that is not that of the bytes.
func TestDigestOfAChangedFile(t *testing.T) {
	for what, change := range map[string]func(path string) error{
		"truncated": func(path string) error { return os.Truncate(path, 1024) },
		"written over": func(path string) error {
			return writeInto(path, "changed")
		},
		"written over, with its time set back": func(path string) error {
			info, err := os.Stat(path)
			return errors.Join(err, writeInto(path, "changed"), os.Chtimes(path, info.ModTime(), info.ModTime()))
		},
		"appended to": func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err == nil {
				_, err = f.WriteString("more")
				f.Close()
			}
			return err
		},
		"replaced": func(path string) error {
			return errors.Join(os.WriteFile(path+".new", []byte("other"), 0o600), os.Rename(path+".new", path))
		},
	} {
		for _, seen := range []bool{false, true} { // whether it was read since it was made
			if !seen && strings.HasSuffix(what, "set back") {
				continue // that only a file's stamp tells
			}
			k := newKept(t)
			r, content := k.get("small")
			path := k.file(r)
			r.Close()
			if seen {
				found := k.cache.Find(k.mirror, k.archive("small"))
				k.want(found, content, false)
				found.Close()
			}
			awaitTick(t, path)
			if err := change(path); err != nil {
				t.Fatal(err)
			}
			found := k.cache.Find(k.mirror, k.archive("small"))
			digest, known, err := found.Digest(t.Context(), true)
			if f, openErr := found.Open(); err == nil && openErr == nil {
				now, _ := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
				if digest != sha256.Sum256(now) {
					t.Errorf("%s (read before: %v): the digest %s (%v) is not that of the bytes", what, seen, digest, known)
				}
			} else if !errors.Is(err, spool.ErrChanged) || !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s (read before: %v): %v, %v", what, seen, err, openErr)
			}
			found.Close()
			if errors.Is(err, spool.ErrChanged) {
				again, bytesAgain := k.get("small")
				if !bytes.Equal(bytesAgain, content) {
					t.Errorf("%s (read before: %v): made again it is something else", what, seen)
				}
				k.want(again, content, false)
			}
		}
	}
}

func writeInto(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}

// TestDigestOfATouchedFile: what has changed about it does not concern its bytes.
func TestDigestOfATouchedFile(t *testing.T) {
	k := newKept(t)
	r, content := k.get("small")
	path := k.file(r)
	if err := errors.Join(os.Chmod(path, 0o640), os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0))); err != nil {
		t.Fatal(err)
	}
	k.want(r, content, true)
	k.want(r, content, false)
}

// TestHashingGivesWay: what nobody waits for is done when no archive is being made, or at once when
// somebody comes who waits for it.
func TestHashingGivesWay(t *testing.T) {
	for _, ends := range []bool{false, true} {
		k := newKept(t)
		r, content := k.get("large")
		k.cache.making.Add(1) // another one is being made
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan struct{})
		go func() {
			k.cache.Run(ctx)
			close(ran)
		}()
		k.cache.hashLater(r)
		if ends {
			k.cache.made()
		}
		k.want(r, content, true)
		cancel()
		<-ran
		if !ends {
			k.cache.made()
		}
	}
}
