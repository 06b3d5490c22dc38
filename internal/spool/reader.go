package spool

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
)

// ErrChanged is returned for a file of another size than it was made with: somebody else has changed
// it. The file is gone then, and the next Get makes it again. It is a fs.ErrNotExist.
var ErrChanged error = changed{}

type changed struct{}

func (changed) Error() string        { return "a file of the cache was changed by somebody else" }
func (changed) Is(target error) bool { return target == fs.ErrNotExist }

// Reader reads one file of a cache from its beginning, while the file grows or after that.
// It must be closed. Only one goroutine at a time may use it.
type Reader struct {
	cache   *Cache
	entry   *entry
	content io.ReaderAt // what CopyNext reads: the producer's file, or opened
	opened  *os.File    // the file that Open has returned
	offset  int64
	closed  bool
	first   bool
}

// Finished reports whether the file is complete.
func (r *Reader) Finished() bool {
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	return r.entry.done && r.entry.err == nil
}

// IsFile reports whether the file is complete, and Open can open it.
func (r *Reader) IsFile() bool {
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	e := r.entry
	return e.done && e.err == nil && (e.transient == nil || e.transient.kept)
}

// IsFirst reports whether the producer was started for this reader.
func (r *Reader) IsFirst() bool { return r.first }

// Next waits until more can be read, and returns how many bytes. The error is io.EOF at the end of
// a complete file, the producer's if that failed, or the cause of ctx's end.
func (r *Reader) Next(ctx context.Context) (int64, error) {
	for {
		r.cache.mu.Lock()
		e := r.entry
		size, done, err, changed := e.size, e.done, e.err, e.changed
		r.cache.mu.Unlock()
		switch {
		case size > r.offset:
			return size - r.offset, nil
		case done && err != nil:
			return 0, err
		case done:
			return 0, io.EOF
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// CopyNext waits as Next does, and writes what can be read to w, at most limit bytes. It
// returns how many bytes it wrote, and the error of Next or of w.
func (r *Reader) CopyNext(ctx context.Context, w io.Writer, limit int64) (int64, error) {
	n, err := r.Next(ctx)
	if err != nil {
		return 0, err
	}
	if err := r.attach(); err != nil {
		return 0, err
	}
	return r.copy(w, min(n, limit))
}

// buffers are for copy. They are small because slow readers hold them for long.
var buffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// copy writes the next n bytes, which the file must have.
func (r *Reader) copy(w io.Writer, n int64) (copied int64, err error) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for copied < n {
		piece := (*buf)[:min(int64(len(*buf)), n-copied)]
		if _, err := r.content.ReadAt(piece, r.offset); err != nil {
			return copied, err
		}
		m, err := w.Write(piece)
		r.advance(m)
		copied += int64(m)
		if err != nil {
			return copied, err
		}
	}
	return copied, nil
}

// attach sets content. The producer's file is shared, and stays open as long as it has readers; if
// it was closed before, the file is opened again.
func (r *Reader) attach() error {
	if r.content != nil {
		return nil
	}
	r.cache.mu.Lock()
	transient, file := r.entry.transient, r.entry.file
	r.cache.mu.Unlock()
	switch {
	case transient != nil:
		r.content = transient
	case file != nil:
		r.content = file
	default:
		file, err := r.Open()
		if err != nil {
			return err
		}
		r.content = file
	}
	return nil
}

// Wait returns nil when the file is complete. If the producer fails or ctx ends first, it
// returns the producer's error or the cause of that end.
func (r *Reader) Wait(ctx context.Context) error {
	for {
		r.cache.mu.Lock()
		e := r.entry
		done, err, changed := e.done, e.err, e.changed
		r.cache.mu.Unlock()
		if done {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Open returns the complete file itself, for a caller that seeks in it or lets the kernel
// send it. Its offset is undefined. The reader owns the file, and Close closes it or keeps
// it open for the next reader. If somebody has removed the file, the error is
// fs.ErrNotExist, and the next Get makes it again.
func (r *Reader) Open() (*os.File, error) {
	if r.opened != nil {
		return r.opened, nil
	}
	c, e := r.cache, r.entry
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(e.open); n > 0 {
		f := e.open[n-1]
		e.open = e.open[:n-1]
		c.open--
		if err := c.checkSize(e, f); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		r.opened = f
		return f, nil
	}
	f, err := os.Open(e.path)
	if errors.Is(err, fs.ErrNotExist) {
		c.forget(e) // so that the next Get makes it again
	}
	if err != nil {
		return nil, err
	}
	if err = c.checkSize(e, f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r.opened = f
	return f, nil
}

// checkSize removes a file that somebody has made longer or shorter; c.mu is held.
func (c *Cache) checkSize(e *entry, f *os.File) error {
	info, err := f.Stat()
	if err != nil || info.Size() == e.size {
		return err
	}
	c.forget(e)
	_ = os.Remove(e.path)
	return ErrChanged
}

// Size is the size of a complete file, in bytes.
func (r *Reader) Size() int64 {
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	return r.entry.size
}

// Close ends the reading. If the file has no other reader and is not complete, Close stops
// its producer, and the file is removed.
func (r *Reader) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	c, e := r.cache, r.entry
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.opened != nil {
		c.putBack(e, r.opened)
	}
	e.readers--
	if e.transient != nil {
		delete(e.transient.readers, r)
		e.transient.wakeProducer()
	}
	if e.readers > 0 {
		return nil
	}
	if !e.done {
		c.forget(e) // the next Get begins anew
		e.stop(errAbandoned)
	}
	c.release(e)
	c.shrink()
	return nil
}
