package main

import (
	"net/http"
	"strings"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/insight"
	"github.com/reconquest/sould/internal/page"
	"github.com/reconquest/sould/internal/postform"
	"github.com/reconquest/sould/internal/smarthttp"
)

// handler answers a request. An error that it returns is written by the caller;
// it must not have written anything itself then.
type handler func(w http.ResponseWriter, r *http.Request) error

// route finds the handler of a method and a path. If there is none, it returns the methods
// that are allowed for the path, as the header Allow has them. wantsPage says that the client is a
// browser.
func (s *Server) route(method, path string, wantsPage bool) (answer handler, allow string) {
	get := method == http.MethodGet || method == http.MethodHead
	first, _, _ := strings.Cut(strings.TrimLeft(path, "/"), "/")
	switch {
	case strings.Trim(path, "/") == "":
		switch {
		case method == http.MethodPost:
			return s.handlePull, ""
		case get && wantsPage:
			return s.handleOverview, ""
		}
		return nil, "GET, HEAD, POST"
	case first == "x":
		return s.routeOwn(method, path)
	case smarthttp.IsPath(path):
		return s.routeGit(method, path)
	case get:
		return s.handleTar, ""
	case method == http.MethodDelete:
		return s.handleDelete, ""
	default:
		return nil, "GET, HEAD, DELETE"
	}
}

// routeOwn is route for paths below /x, which are the server's own.
func (s *Server) routeOwn(method, path string) (answer handler, allow string) {
	path = strings.Trim(path, "/")
	_, asset := page.Assets[path]
	switch {
	case path == "x/status":
		answer = s.handleStatus
	case path == "x/health":
		answer = s.handleHealth
	case path == "x/health/live":
		answer = s.handleLive
	case path == "x/health/ready":
		answer = s.handleReady
	case path == "x/metrics":
		answer = s.handleMetrics
	case path == manifestPath:
		answer = s.handleManifest
	case path+"/" == whyPath:
		answer = s.handleNameless
	case strings.HasPrefix(path, hookPath):
		if method != http.MethodPost {
			return nil, "POST"
		}
		return s.handleHook, ""
	case strings.HasPrefix(path, whyPath):
		answer = s.handleWhy
	case strings.HasPrefix(path, mirrorPath):
		answer = s.handleMirrorPage
	case asset:
		answer = insight.ServeAsset
	default:
		return s.handleUnknown, ""
	}
	if method != http.MethodGet && method != http.MethodHead {
		return nil, "GET, HEAD"
	}
	return answer, ""
}

// refuseMethod says which methods are allowed for a path.
func refuseMethod(r *http.Request, allow string) error {
	path := errtext.Word(r.URL.Path, 200)
	if r.Method == http.MethodPost && strings.Contains(allow, http.MethodDelete) { // the path of a mirror
		return fail(kindMethod, "POST is for /, and not for %s: the name of the mirror goes into the body: %s", path, postform.Example)
	}
	if strings.HasPrefix(strings.Trim(r.URL.Path, "/"), hookPath) {
		return fail(kindMethod, "%s is for the POSTs of a forge", path)
	}
	if strings.Trim(r.URL.Path, "/") == "" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		return fail(kindMethod, "GET / is a page for browsers (Accept: text/html); the status for other clients is at /x/status")
	}
	return fail(kindMethod, "%s is not for %s; allowed: %s", errtext.Word(r.Method, 40), path, allow)
}

// handleUnknown answers 404 for a path below /x that does not exist.
func (s *Server) handleUnknown(_ http.ResponseWriter, r *http.Request) error {
	return fail(kindNotFound, "there is nothing at %s", errtext.Word(r.URL.Path, 200))
}

// handleNameless answers 400 for a path that lacks the name of a mirror.
func (s *Server) handleNameless(http.ResponseWriter, *http.Request) error {
	return fail(kindBadRequest, "the name of a mirror is missing: /%s<name>", whyPath)
}

// challenges are the values of WWW-Authenticate. Only reading accepts a password: a browser
// adds a password that it knows to every request, even to one that another site makes it
// send.
var challenges = map[access.Need]string{
	access.Read:    `Basic realm="sould"`,
	access.Command: "Bearer",
}

// admit checks whether a request is permitted, before its handler sees it.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, what access.Need) error {
	set := s.settings()
	if (r.TLS != nil) != (set.tls != nil) { // a reload has turned TLS on or off since it connected
		w.Header().Set("Connection", "close")
	}
	err := set.accessPolicy().Permit(what, r.Host, r.Header)
	if err != nil && statusOf(err) == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", challenges[what])
	}
	return err
}
