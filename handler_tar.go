package main

import (
	"net/http"
	"strconv"
	"time"

	"github.com/reconquest/sould/internal/archive"
	"github.com/reconquest/sould/internal/conditional"
	"github.com/reconquest/sould/internal/download"
	"github.com/reconquest/sould/internal/respond"
)

// handleTar is GET /<name>: an archive, a bundle, or the digest of one. The way of an archive that is
// finished is short: snapshot, commit, file; no process is started on it.
func (s *Server) handleTar(w http.ResponseWriter, r *http.Request) error {
	set := s.settings()
	req, err := archive.ParseRequest(r.URL)
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	came := time.Now()
	r = conditional.WithRange(r)
	found, err := s.read(r, req.Name)
	if err != nil {
		return err
	}
	m := found.Mirror
	if !found.Fresh {
		m.Refresh(r.Context(), conditional.WantsFresh(r.Header))
	}
	rev, err := s.mirrors.revision(r.Context(), m, req, came)
	header := w.Header()
	respond.SetState(header, rev.Snapshot)
	if err != nil {
		if statusOf(err) == http.StatusPreconditionFailed { // what it must contain may come
			header.Set("Retry-After", strconv.Itoa(int(max(set.Retry, time.Second).Seconds())))
		}
		return err
	}
	return s.downloads.Send(w, r, download.Request{
		Request: req, Mirror: m, Revision: rev, ExportSubst: set.ExportSubst, Public: set.ReadToken == "",
	})
}
