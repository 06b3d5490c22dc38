package archive

import (
	"crypto/sha256"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// sums are the digests of the files in a cache. They are computed once, and only believed as long as
// a file is what it was then. The cache itself sets a file's time of modification when the file is
// read, and that must not hide that somebody else has changed it: so a file is looked at before and
// after the cache may do that.
type sums struct {
	mu    sync.Mutex // guards byID
	byID  map[sumID]*sum
	later chan *Reader // archives whose digest is not known yet
}

// sumID is the digest of an archive's key.
type sumID [sha256.Size]byte

// Bounds of what is remembered of digests. What does not fit is computed when it is asked for.
const (
	maxSums  = 1 << 14
	maxLater = 256
)

// touchEvery is how much time must have passed since a file's time of modification for the cache to
// set that again. It does so less often.
const touchEvery = 30 * time.Second

// sum is what is known of one file's digest.
type sum struct {
	turn    chan struct{} // has an element while somebody computes it
	waiting atomic.Int32  // callers of Digest who wait for that
	hurry   chan struct{} // has an element when one of them has come

	mu       sync.Mutex // guards all below
	digest   Digest
	known    bool
	doubted  bool      // the digest was known, and the file has another stamp since
	made     bool      // the file is what was made since the server started, for all that is known
	size     int64     // of what was made since then, in bytes; 0 if it was not
	finished time.Time // when that was made
	stamp    stamp     // of the file when it was last looked at; zero for never since it was made
}

// stamp tells a file that nobody has touched from one that was changed.
type stamp struct {
	inode    uint64
	size     int64
	modified int64 // nanoseconds since the epoch, and so is changed
	changed  int64
}

func stampOf(stat *unix.Stat_t) stamp {
	return stamp{uint64(stat.Ino), stat.Size, stat.Mtim.Nano(), stat.Ctim.Nano()}
}

// stampAt is the stamp of the file at a path, or zero if there is none.
func stampAt(path string) stamp {
	var stat unix.Stat_t
	if unix.Lstat(path, &stat) != nil {
		return stamp{}
	}
	return stampOf(&stat)
}

func stampOfFile(f *os.File) (stamp, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return stamp{}, &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return stampOf(&stat), nil
}

// fits reports whether a file is what was made or last looked at; s.mu is held. That a new file gets
// its name and its first reader changes its stamp, but neither makes it another one: until then, its
// size and the time of the last write must do.
func (s *sum) fits(now stamp) bool {
	if s.stamp == (stamp{}) {
		return s.made && now.size == s.size && now.modified <= s.finished.UnixNano()
	}
	return now == s.stamp
}

// isTouch reports whether all that has happened to a file is that its time of modification was set
// to a moment between two others.
func isTouch(before, after stamp, from, to time.Time) bool {
	return before.inode == after.inode && before.size == after.size &&
		from.UnixNano() <= after.modified && after.modified <= to.UnixNano()
}

// begin notes that a file is going to be read to compute its digest. From then on, until somebody
// changes the file, it fits.
func (s *sum) begin(before stamp) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fits(before) {
		return
	}
	s.made = s.made && (s.known || s.doubted)
	s.doubted, s.known = s.doubted || s.known, false
	s.stamp = before
}

// verdict is what comes of reading a file.
type verdict int

const (
	unsettled verdict = iota // somebody has changed it meanwhile
	taken                    // its digest is known
	refused                  // it is not what it was
)

// end notes the digest of a file that was read.
func (s *sum) end(digest Digest, after stamp) verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case (s.doubted || s.known) && s.digest != digest, s.size != 0 && s.size != after.size:
		return refused
	case !s.fits(after):
		return unsettled
	}
	s.digest, s.known, s.doubted = digest, true, false
	return taken
}

func newSums() *sums {
	return &sums{byID: make(map[sumID]*sum), later: make(chan *Reader, maxLater)}
}

// of returns what is known of an archive's digest, or nil for nothing.
func (s *sums) of(id sumID) *sum {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byID[id]
}

// add is of for who is going to know something.
func (s *sums) add(id sumID) *sum {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.byID[id]
	if one == nil {
		if len(s.byID) >= maxSums {
			clear(s.byID)
		}
		one = &sum{turn: make(chan struct{}, 1), hurry: make(chan struct{}, 1)}
		s.byID[id] = one
	}
	return one
}

// made notes that an archive was made just now, with what is known of its digest.
func (s *sums) made(id sumID, w *hashingWriter) {
	one := s.add(id)
	one.mu.Lock()
	defer one.mu.Unlock()
	one.digest, one.known = w.digest()
	one.doubted = false
	one.made, one.size, one.finished, one.stamp = true, w.size, time.Now(), stamp{}
}

// watch calls read, with which the cache may set the time of modification of an archive's file, and
// sees to it that this is not taken for a change.
func (s *sums) watch(r *Reader, read func()) {
	one := s.of(r.id)
	if one == nil {
		read()
		return
	}
	one.mu.Lock()
	if from := time.Now(); from.Sub(time.Unix(0, one.stamp.modified)) < touchEvery {
		one.mu.Unlock()
		read()
		return
	}
	defer one.mu.Unlock()
	path := r.cache.cache.Path(r.key)
	from, before := time.Now(), stampAt(path)
	read()
	if after := stampAt(path); one.fits(before) && (after == before || isTouch(before, after, from, time.Now())) {
		one.stamp = after
	}
}
