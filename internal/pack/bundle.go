package pack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/spool"
)

// Bundle returns the bundle of some refs of a mirror, finished or growing. It is made once, and kept
// for as long as there is room. The caller must close the reader. The reader's error is
// limiter.ErrBusy if there was no place, spool.ErrNoSpace if there is no room for it, or that of git.
func (k *Maker) Bundle(m *mirror.Mirror, l git.Listing) (*spool.Reader, error) {
	return k.cache.Get(bundleKey(m, l), func(ctx context.Context, w io.Writer) error {
		if err := k.clients.places.Acquire(ctx, m.Name.String()); err != nil {
			return err
		}
		defer k.clients.places.Release()
		return m.Bundle(ctx, l, w)
	})
}

// FindBundle returns a bundle that is finished, or nil. The caller must close it.
func (k *Maker) FindBundle(m *mirror.Mirror, l git.Listing) *spool.Reader {
	return k.cache.Find(bundleKey(m, l))
}

// bundleKey is the key of the bundle of these refs.
func bundleKey(m *mirror.Mirror, l git.Listing) string {
	h := sha256.New()
	_ = git.BundleHeader(h, l) // a hash takes in everything
	return join(m, "bundle", hex.EncodeToString(h.Sum(nil)))
}
