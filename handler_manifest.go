package main

import (
	"net/http"
	"strconv"

	"github.com/reconquest/sould/internal/conditional"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/respond"
)

// manifestPath is where clients of grokmirror are told what is here.
const manifestPath = "x/manifest.js.gz"

// maxManifests is how many clients may be sent the manifest at once. A client that does not read holds
// what it was sent.
const maxManifests = 64

// handleManifest is GET /x/manifest.js.gz: what mirrors there are, for clients of grokmirror. They do
// not send the ETag, but the time of what they have, as it was given to them.
func (s *Server) handleManifest(w http.ResponseWriter, r *http.Request) error {
	if !s.mirrors.store.IsReady() {
		return mirror.ErrStarting // they would take what is missing for removed
	}
	if err := s.mirrors.store.CheckStorage(); err != nil {
		return &fault{kindUnavailable, err}
	}
	if !s.manifests.Take(maxManifests) {
		return limiter.ErrBusy
	}
	defer s.manifests.Release()
	m, err := s.mirrors.manifest.Get(r.Context())
	if err != nil {
		return err
	}
	modified := m.Modified.UTC().Format(http.TimeFormat)
	header := w.Header()
	header.Set("Etag", m.ETag)
	header.Set("Last-Modified", modified)
	header.Set("Cache-Control", "no-cache")
	if status := conditional.Precondition(r.Header, m.ETag); status != 0 {
		return respond.Condition(w, status)
	}
	if r.Header.Get("If-None-Match") == "" && r.Header.Get("If-Modified-Since") == modified {
		return respond.Condition(w, http.StatusNotModified)
	}
	header.Set("Content-Type", "application/gzip")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Length", strconv.Itoa(len(m.Body)))
	respond.Body(w, r, http.StatusOK, m.Body)
	return nil
}
