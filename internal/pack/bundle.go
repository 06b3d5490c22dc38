package pack

import (
	"context"
	"io"

	"github.com/reconquest/sould/internal/archive"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
)

// Bundle returns the bundle of some refs of a mirror, finished or growing. It is made once, and kept
// for as long as there is room. The caller must close the reader. The reader's error is
// limiter.ErrBusy if there was no place, spool.ErrNoSpace if there is no room for it, or that of git.
func (k *Maker) Bundle(m *mirror.Mirror, l git.Listing) (*archive.Reader, error) {
	k.Offers.wanted(m)
	return k.files.GetFile(m, bundleKey(m, git.BundleID(l)), func(ctx context.Context, w io.Writer) error {
		if err := k.clients.places.Acquire(ctx, m.Name.String()); err != nil {
			return err
		}
		defer k.clients.places.Release()
		return k.counts.measure(ctx, w, func(w io.Writer) error { return m.Bundle(ctx, l, w) })
	})
}

// FindBundle returns the bundle of an id (git.BundleID) if it is finished, or nil. The caller must
// close it.
func (k *Maker) FindBundle(m *mirror.Mirror, id string) *archive.Reader {
	k.Offers.wanted(m)
	return k.files.FindFile(m, bundleKey(m, id))
}

// bundleAhead makes a bundle that no client waits for, if it is not there yet.
func (k *Maker) bundleAhead(ctx context.Context, m *mirror.Mirror, l git.Listing) error {
	if err := k.clients.places.AcquireIdle(ctx); err != nil {
		return err
	}
	defer k.clients.places.Release()
	r, err := k.files.GetNewFile(m, bundleKey(m, git.BundleID(l)), func(ctx context.Context, w io.Writer) error {
		return k.counts.measure(ctx, w, func(w io.Writer) error { return m.Bundle(ctx, l, w) })
	})
	if r == nil || err != nil {
		return err
	}
	defer r.Close()
	if err = r.Wait(ctx); err == nil {
		k.counts.ahead.Add(1)
	}
	return err
}

// bundleKey is the key of the bundle of an id.
func bundleKey(m *mirror.Mirror, id string) string { return join(m, "bundle", id) }
