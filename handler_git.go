package main

import (
	"errors"
	"net/http"
	"strings"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/ondemand"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/smarthttp"
)

// routeGit finds who answers a git client.
func (s *Server) routeGit(method, path string) (answer handler, allow string) {
	if strings.HasSuffix(path, smarthttp.RefsPath) {
		if method == http.MethodGet || method == http.MethodHead {
			return s.handleRefs, ""
		}
		return nil, "GET, HEAD"
	}
	switch {
	case method != http.MethodPost:
		return nil, "POST"
	case strings.HasSuffix(path, smarthttp.PushPath):
		return s.handlePush, ""
	default:
		return s.handleFetch, ""
	}
}

// handlePush refuses what would change a mirror.
func (s *Server) handlePush(http.ResponseWriter, *http.Request) error {
	return fail(kindForbidden, "mirrors are read-only: push to the origin instead")
}

// handleRefs is GET /<name>/info/refs: a client's first question. It pulls first, by
// the rule that holds for archives; what the client asks next is answered with what is
// there then.
func (s *Server) handleRefs(w http.ResponseWriter, r *http.Request) error {
	service, err := smarthttp.Service(r.URL.RawQuery)
	if err != nil {
		return err
	}
	if service == "git-receive-pack" {
		return s.handlePush(w, r)
	}
	found, err := s.cloned(r, strings.TrimSuffix(r.URL.Path, smarthttp.RefsPath))
	if err != nil {
		return err
	}
	if found.Growing != nil {
		if answered, err := s.clones.EarlyRefs(w, r, found.Growing); answered || err != nil {
			return err
		}
		return s.handleRefs(w, r)
	}
	if !found.Fresh && !isPeer(r) {
		found.Mirror.Refresh(r.Context(), smarthttp.WantsFresh(r.Header))
	}
	return s.clones.Refs(w, r, found.Mirror, isPeer(r))
}

// handleFetch is POST /<name>/git-upload-pack: what a client wants and has. It pulls
// nothing: it is about what the client was shown before.
func (s *Server) handleFetch(w http.ResponseWriter, r *http.Request) error {
	found, err := s.cloned(r, strings.TrimSuffix(r.URL.Path, smarthttp.FetchPath))
	switch {
	case err != nil:
		return err
	case found.Growing != nil:
		return s.clones.EarlyFetch(w, r, found.Growing)
	default:
		return s.clones.Fetch(w, r, found.Mirror, isPeer(r))
	}
}

// isPeer reports whether another server of the cluster asks.
func isPeer(r *http.Request) bool { return r.Header.Get(protocol.PeerHeader) != "" }

// cloned finds the mirror that a client calls by its name, or by its name and ".git". If there is none,
// it may be made (read).
func (s *Server) cloned(r *http.Request, raw string) (ondemand.Reading, error) {
	names, err := smarthttp.Names(raw)
	if err != nil {
		return ondemand.Reading{}, &fault{kindBadRequest, err}
	}
	for _, name := range names {
		if m, err := s.find(r, name); !errors.Is(err, mirror.ErrUnknown) {
			return ondemand.Reading{Mirror: m}, err
		}
	}
	var unknown error
	for _, name := range names {
		found, err := s.read(r, name)
		if !errors.Is(err, mirror.ErrUnknown) {
			return found, err
		}
		if unknown == nil || errors.As(err, new(*mirror.TooEarly)) {
			unknown = err
		}
	}
	return ondemand.Reading{}, unknown
}
