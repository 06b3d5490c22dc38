package archive

import (
	"context"
	"io"

	"github.com/reconquest/sould/internal/mirror"
)

// Produce writes a file to w, until it is whole or ctx ends.
type Produce = func(ctx context.Context, w io.Writer) error

// FindFile returns a file that another package keeps in the same spool, such as a bundle of a mirror,
// if it is finished, or nil. Its digest is computed and believed as that of an archive. It must be closed.
func (c *Cache) FindFile(m *mirror.Mirror, key string) *Reader { return c.readerOf(m, key).find() }

// GetFile returns such a file, finished or growing. If it is not there, produce makes it, and it is
// hashed meanwhile: its readers want it whole. It must be closed.
func (c *Cache) GetFile(m *mirror.Mirror, key string, produce Produce) (*Reader, error) {
	r := c.readerOf(m, key)
	var err error
	c.sums.watch(r, func() { r.Reader, err = c.cache.Get(key, r.hashed(produce)) })
	if err != nil {
		return nil, err
	}
	return r, nil
}

// GetNewFile is GetFile for a caller that only wants a missing file to be made. If it exists, finished
// or growing, the reader is nil.
func (c *Cache) GetNewFile(m *mirror.Mirror, key string, produce Produce) (*Reader, error) {
	r := c.readerOf(m, key)
	var err error
	if r.Reader, err = c.cache.GetNew(key, r.hashed(produce)); r.Reader == nil || err != nil {
		return nil, err
	}
	return r, nil
}

// hashed is produce, and records the digest of what it makes.
func (r *Reader) hashed(produce Produce) Produce {
	return func(ctx context.Context, w io.Writer) error {
		all := newHashingWriter(w, -1)
		err := produce(ctx, all)
		if err == nil {
			r.cache.sums.made(r.id, all)
		}
		return err
	}
}
