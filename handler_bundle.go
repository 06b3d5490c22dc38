package main

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
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/respond"
	"github.com/reconquest/sould/internal/spool"
)

// handleBundle sends the refs of a mirror, or one of them, and their history as a bundle
// (git-bundle(1)), or the digest of that. It is sent when it is finished: its ETag is the digest at its
// end, so that who resumes a download gets the rest of the same bytes, or all of other ones.
func (s *Server) handleBundle(w http.ResponseWriter, r *http.Request, m *mirror.Mirror, req archive.Request, rev archive.Revision) error {
	m.BeginUse()
	defer m.EndUse()
	header := w.Header()
	header["X-Content-Type-Options"] = nosniff
	if req.BundleID != "" { // of refs that may have been others
		header["Cache-Control"] = cacheControl(true, s.settings().ReadToken == "")
		err := s.sendKeptBundle(w, r, m, req, req.BundleID)
		if errors.Is(err, fs.ErrNotExist) {
			return fail(kindNotFound, "this bundle is not kept any more; without id= there is one of today's refs")
		}
		return err
	}
	header["X-Revision"] = []string{rev.Commit}
	header["Cache-Control"] = revalidated
	listing, err := bundled(rev, req.Want.Ref)
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead { // for which it is not made
		err := s.sendKeptBundle(w, r, m, req, git.BundleID(listing))
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
	if err = s.makeBundle(w, r, m, req, listing); errors.Is(err, fs.ErrNotExist) { // the file has just been removed, or changed
		err = s.makeBundle(w, r, m, req, listing)
	}
	return err
}

// bundleName is what a bundle is called when it is saved.
func bundleName(req archive.Request) string { return req.Name.Base() + ".bundle" }

func setBundleHeaders(header http.Header, req archive.Request) {
	header["Content-Type"] = []string{"application/x-git-bundle"}
	header["Content-Disposition"] = attachment(bundleName(req))
}

// sendKeptBundle sends the bundle of an id if it is finished. Else the error is fs.ErrNotExist.
func (s *Server) sendKeptBundle(w http.ResponseWriter, r *http.Request, m *mirror.Mirror, req archive.Request, id string) error {
	found := s.mirrors.packs.FindBundle(m, id)
	if found == nil {
		return fs.ErrNotExist
	}
	defer found.Close()
	return s.sendBundle(w, r, req, found)
}

// makeBundle sends a bundle when it is finished, and has it made if it is not there.
func (s *Server) makeBundle(w http.ResponseWriter, r *http.Request, m *mirror.Mirror, req archive.Request, listing git.Listing) error {
	if err := s.conns.AcquireSend(); err != nil { // who waits for it counts as well
		return err
	}
	defer s.conns.ReleaseSend()
	ctx, end := conn.WhileAlive(r.Context(), s.life)
	defer end()
	bundle, err := s.mirrors.packs.Bundle(m, listing)
	if err == nil {
		defer bundle.Close()
		err = bundle.Wait(ctx)
	}
	switch {
	case r.Context().Err() != nil: // the client has gone
		panic(http.ErrAbortHandler)
	case errors.Is(err, spool.ErrNoSpace):
		return fail(kindUnavailable, "there is no room for the bundle: %w", err)
	case errors.Is(err, limiter.ErrBusy):
		return err
	case err != nil:
		m.Suspect(err)
		return fmt.Errorf("can't make the bundle: %w", err)
	}
	return s.sendBundle(w, r, req, bundle)
}

// bundled are the refs of a bundle: all of the mirror's, or the one that a client names.
func bundled(rev archive.Revision, ref string) (git.Listing, error) {
	snap := rev.Snapshot
	switch {
	case snap.Shallow:
		return git.Listing{}, fail(kindConflict, "the mirror is shallow, and a bundle needs the whole history")
	case ref == "":
		return snap.Listing, nil
	case git.IsID(ref):
		return git.Listing{}, fail(kindBadRequest, "a bundle is of a ref, and not of a commit id")
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

// sendBundle sends a finished bundle, a part of it, or its digest.
func (s *Server) sendBundle(w http.ResponseWriter, r *http.Request, req archive.Request, bundle *archive.Reader) error {
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
		return sendBundleSum(w, r, req, bundle)
	}
	if err := addDigest(header, r, bundle); err != nil {
		return err
	}
	setBundleHeaders(header, req)
	steady := conn.NewDeadlineWriter(w).Counting(&s.sent.Bundles)
	respond.Content(steady, r, f)
	return nil
}

// sendBundleSum sends the digest of a finished bundle. It is not computed for a HEAD.
func sendBundleSum(w http.ResponseWriter, r *http.Request, req archive.Request, bundle *archive.Reader) error {
	if r.Method == http.MethodHead {
		writeSum(w, r, archive.Digest{}, bundleName(req))
		return nil
	}
	digest, known, err := bundle.Digest(r.Context(), true)
	if err == nil && !known {
		err = errors.New("its file is being changed by somebody else")
	}
	if err != nil {
		return fmt.Errorf("can't compute the digest of the bundle: %w", err)
	}
	writeSum(w, r, digest, bundleName(req))
	return nil
}
