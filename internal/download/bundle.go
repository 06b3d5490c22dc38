package download

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"github.com/reconquest/sould/internal/archive"
	"github.com/reconquest/sould/internal/conditional"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/respond"
	"github.com/reconquest/sould/internal/spool"
)

// sendBundle sends the refs of a mirror, or one of them, and their history as a bundle (git-bundle(1)), or
// the digest of that.
func (s *Sender) sendBundle(w http.ResponseWriter, r *http.Request, req Request) error {
	req.Mirror.BeginUse()
	defer req.Mirror.EndUse()
	header := w.Header()
	header["X-Content-Type-Options"] = nosniff
	if req.BundleID != "" { // of refs that may have been others
		header["Cache-Control"] = cacheControl(true, req.Public)
		err := s.sendKeptBundle(w, r, req, req.BundleID)
		if errors.Is(err, fs.ErrNotExist) {
			return fail(NotKept, "this bundle is not kept any more; without id= there is one of today's refs")
		}
		return err
	}
	header["X-Revision"] = []string{req.Revision.Commit}
	header["Cache-Control"] = revalidated
	listing, err := bundled(req.Revision, req.Want.Ref)
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead { // for which it is not made
		err := s.sendKeptBundle(w, r, req, git.BundleID(listing))
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if req.Sum { // all digests have one length
			writeSum(w, r, archive.Digest{}, bundleName(req))
		} else {
			setBundleHeaders(header, req)
		}
		return nil
	}
	if err = s.makeBundle(w, r, req, listing); errors.Is(err, fs.ErrNotExist) { // the file has just been removed, or changed
		err = s.makeBundle(w, r, req, listing)
	}
	return err
}

// bundled are the refs of a bundle: all of the mirror's, or the one that a client names.
func bundled(rev archive.Revision, ref string) (git.Listing, error) {
	snap := rev.Snapshot
	switch {
	case snap.Shallow:
		return git.Listing{}, fail(Shallow, "the mirror is shallow, and a bundle needs the whole history")
	case ref == "":
		return snap.Listing, nil
	case git.IsID(ref):
		return git.Listing{}, fail(NotARef, "a bundle is of a ref, and not of a commit id")
	}
	found, err := snap.Named(ref)
	if err != nil {
		return git.Listing{}, err
	}
	one := git.Listing{Refs: []git.Ref{found}, Head: git.Head{ID: rev.Commit}}
	if strings.HasPrefix(found.Name, "refs/heads/") {
		one.Head.Ref = found.Name
	}
	return one, nil
}

// bundleName is what a bundle is called when it is saved.
func bundleName(req Request) string { return req.Name.Base() + ".bundle" }

func setBundleHeaders(header http.Header, req Request) {
	header["Content-Type"] = []string{"application/x-git-bundle"}
	header["Content-Disposition"] = attachment(bundleName(req))
}

// sendKeptBundle sends the bundle of an id if it is finished. Else the error is fs.ErrNotExist.
func (s *Sender) sendKeptBundle(w http.ResponseWriter, r *http.Request, req Request, id string) error {
	found := s.Packs.FindBundle(req.Mirror, id)
	if found == nil {
		return fs.ErrNotExist
	}
	defer found.Close()
	if found.Size() > conn.Quick && r.Method != http.MethodHead {
		if err := s.Conns.AcquireSend(); err != nil {
			return err
		}
		defer s.Conns.ReleaseSend()
	}
	return s.sendFinishedBundle(w, r, req, found)
}

// makeBundle sends a bundle when it is finished, and has it made if it is not there.
func (s *Sender) makeBundle(w http.ResponseWriter, r *http.Request, req Request, listing git.Listing) error {
	if err := s.Conns.AcquireSend(); err != nil { // who waits for it counts as well
		return err
	}
	defer s.Conns.ReleaseSend()
	ctx, end := conn.WhileAlive(r.Context(), s.Life)
	defer end()
	bundle, err := s.Packs.Bundle(req.Mirror, listing)
	if err == nil {
		defer bundle.Close()
		err = bundle.Wait(ctx)
	}
	abortIfGone(r)
	switch {
	case errors.Is(err, spool.ErrNoSpace):
		return fail(NoRoom, "there is no room for the bundle: %w", err)
	case errors.Is(err, limiter.ErrBusy):
		return err
	case err != nil:
		req.Mirror.Suspect(err)
		return fmt.Errorf("can't make the bundle: %w", err)
	}
	return s.sendFinishedBundle(w, r, req, bundle)
}

// sendFinishedBundle sends a finished bundle, a part of it, or its digest.
func (s *Sender) sendFinishedBundle(w http.ResponseWriter, r *http.Request, req Request, bundle *archive.Reader) error {
	f, err := bundle.Open()
	if err != nil {
		return fmt.Errorf("can't read the bundle: %w", err)
	}
	tag, err := git.BundleDigest(f, bundle.Size())
	if err != nil {
		return fmt.Errorf("can't read the bundle: %w", err)
	}
	etag := `"` + tag + `.bundle"`
	if req.Sum {
		etag = `"` + tag + `.bundle.sha256"`
	}
	header := w.Header()
	header["Etag"] = []string{etag}
	if status := conditional.Precondition(r.Header, etag); status != 0 {
		if status == http.StatusNotModified && !req.Sum {
			addKnownDigest(header, r, false, bundle.Known)
		}
		return respond.Condition(w, status)
	}
	if req.Sum {
		return sendBundleSum(w, r, bundleName(req), bundle)
	}
	if err := addDigest(header, r, bundle); err != nil {
		return err
	}
	setBundleHeaders(header, req)
	respond.Content(conn.NewDeadlineWriter(w).Counting(s.Sent.Bundles), r, f)
	return nil
}
