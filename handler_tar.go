package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/git"
)

// tarRequest is what a client asks of a mirror's content.
type tarRequest struct {
	name     Name
	ref      string // empty for the default branch
	contains string // a full commit id, or empty
}

// handleTar is GET /<name>: the tarball.
func (s *Server) handleTar(w http.ResponseWriter, r *http.Request) error {
	set := s.settings()
	req, err := parseTar(r.URL)
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	m, err := s.mirrors.Get(r.Context(), set, req.name)
	if errors.Is(err, errUnknownMirror) && s.mirrors.Progress(req.name) != nil {
		w.Header().Set("Retry-After", "1")
		return fail(kindNotFound, "%w yet: it is being fetched for the first time", err)
	}
	if err != nil {
		return err
	}
	s.mirrors.Refresh(r.Context(), set, m, wantsFresh(r))

	snap, commit, err := s.revision(r, set, m, req)
	header := w.Header()
	if snap != nil {
		header.Set("X-State", string(state(snap)))
		header.Set("X-Date", snap.Date().UTC().Format(http.TimeFormat))
	}
	if err != nil {
		if status(err) == http.StatusPreconditionFailed {
			header.Set("Retry-After", strconv.Itoa(int(max(set.Retry, time.Second).Seconds())))
		}
		return err
	}
	header.Set("X-Revision", commit)
	header.Set("Content-Type", "application/x-tar")
	header.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", req.name.Base()+".tar"))
	header.Set("X-Content-Type-Options", "nosniff")
	if r.Method == http.MethodHead {
		return nil
	}
	return s.stream(w, r, set, m, commit)
}

// state is what X-State says of a mirror.
func state(snap *Snapshot) Outcome {
	if snap.Outcome == OutcomeSuccess {
		return OutcomeSuccess
	}
	return OutcomeFailed
}

// parseTar reads the path and the query of a GET.
func parseTar(u *url.URL) (req tarRequest, err error) {
	if req.name, err = ParseName(u.Path); err != nil {
		return req, err
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return req, fmt.Errorf("the query is malformed: %w", err)
	}
	for key, values := range query {
		if !slices.Contains([]string{"ref", "contains", "format"}, key) {
			return req, fmt.Errorf("unknown parameter %.40q", key)
		}
		if len(values) > 1 {
			return req, fmt.Errorf("the parameter %s is given %d times", key, len(values))
		}
	}
	if format := query.Get("format"); query.Has("format") && format != "tar" {
		return req, fmt.Errorf("unknown format %.40q", format)
	}
	req.ref, req.contains = query.Get("ref"), query.Get("contains")
	if query.Has("ref") && !legalRef(req.ref) {
		return req, fmt.Errorf("ref=%.100q is neither a commit id nor a legal name of a branch or tag", req.ref)
	}
	if query.Has("contains") && !git.IsID(req.contains) {
		return req, fmt.Errorf("contains=%.100q is no full commit id", req.contains)
	}
	return req, nil
}

// legalRef reports whether a client's word may name a branch, a tag or a ref.
func legalRef(ref string) bool {
	return !strings.HasPrefix(ref, "-") && git.IsRefName("refs/heads/"+ref)
}

// wantsFresh reports whether the client asks that nothing stored be used.
func wantsFresh(r *http.Request) bool {
	for _, value := range r.Header.Values("Cache-Control") {
		for directive := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(directive), "no-cache") {
				return true
			}
		}
	}
	return false
}

// revision finds the commit that a client asks for, and pulls for it if the
// client says what it must contain and it does not.
func (s *Server) revision(r *http.Request, set *settings, m *Mirror, req tarRequest) (*Snapshot, string, error) {
	snap := m.Snapshot()
	commit, err := resolve(r, set, m, snap, req.ref)
	if req.contains == "" {
		return snap, commit, err
	}
	contained := func() (bool, error) {
		if err != nil {
			return false, nil // perhaps it is there after a pull
		}
		return m.Contains(r.Context(), set, commit, req.contains)
	}
	if ok, err := contained(); ok || err != nil {
		return snap, commit, err
	}
	s.mirrors.LookFor(r.Context(), set, m, req.contains)
	snap = m.Snapshot()
	if commit, err = resolve(r, set, m, snap, req.ref); err != nil {
		return snap, "", err
	}
	ok, err := contained()
	if !ok && err == nil {
		err = fail(kindUnsatisfied, "the revision %s does not contain %s", commit, req.contains)
	}
	return snap, commit, err
}

// resolve finds the commit that ref means in a snapshot.
func resolve(r *http.Request, set *settings, m *Mirror, snap *Snapshot, ref string) (string, error) {
	id, fallback, err := snap.Resolve(ref)
	if err != nil {
		return "", err
	}
	repo := set.git.Repo(m.Dir)
	commit, err := repo.Commit(r.Context(), id)
	if errors.Is(err, git.ErrNotFound) && fallback != "" {
		commit, err = repo.Commit(r.Context(), fallback)
	}
	if err != nil {
		return "", fmt.Errorf("ref %q: %w", ref, err)
	}
	return commit, nil
}

// stream sends the archive of a commit as git produces it. Once the first byte is
// sent, a failure can only be told by breaking off.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, set *settings, m *Mirror, commit string) error {
	out := &archiveWriter{w: w, control: http.NewResponseController(w)}
	err := set.git.Repo(m.Dir).Archive(r.Context(), s.storage.Neutral, commit, out)
	switch {
	case err == nil:
		return nil
	case !out.begun:
		return fmt.Errorf("can't archive %s: %w", commit, err)
	case out.err == nil && r.Context().Err() == nil:
		s.log.Error("archive broken off", "mirror", m.Name, "revision", commit, "client", r.RemoteAddr, errTree(err))
	}
	panic(http.ErrAbortHandler)
}

// archiveWriter sends to a client that must keep taking in what is sent.
type archiveWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
	err     error // of the client
}

func (a *archiveWriter) Write(p []byte) (int, error) {
	a.begun = true
	if a.err = a.control.SetWriteDeadline(time.Now().Add(writeTimeout)); a.err != nil {
		return 0, a.err
	}
	n, err := a.w.Write(p)
	a.err = err
	return n, err
}
