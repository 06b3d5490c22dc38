package main

import (
	"cmp"
	"net/http"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/conditional"
	"github.com/reconquest/sould/internal/insight"
	"github.com/reconquest/sould/internal/page"
	"github.com/reconquest/sould/internal/respond"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/units"
	"github.com/reconquest/sould/internal/why"
)

// Where mirrors are explained, and where their pages are.
const (
	whyPath    = "x/why/"
	mirrorPath = "x/mirror/"
)

// whyPatience is how long an explanation waits for other servers, at most.
const whyPatience = 2 * time.Second

// handleWhy is GET /x/why/<name>: why a mirror is as it is.
func (s *Server) handleWhy(w http.ResponseWriter, r *http.Request) error {
	name, err := storage.ParseName(strings.TrimPrefix(strings.TrimLeft(r.URL.Path, "/"), whyPath))
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	set := s.settings()
	others := s.mirrors.insight.Observer.AskAbout(r.Context(), name, min(whyPatience, set.Timeout))
	facts := s.mirrors.insight.Facts(set.insightOptions(s.version), set.baseURL(r), name, others, time.Now())
	w.Header().Set("Vary", "Accept")
	return respond.Document(w, r, insightStatus(facts), struct {
		Name string `json:"name"`
		why.Answer
	}{name.String(), why.Explain(facts)})
}

// insightStatus is the HTTP status of an answer that explains a mirror.
func insightStatus(f why.Facts) int {
	switch {
	case f.Storage != "":
		return http.StatusServiceUnavailable
	case !f.Exists && len(f.Runs) == 0 && !f.Loading:
		return http.StatusNotFound
	default:
		return http.StatusOK
	}
}

// handleOverview is GET / for browsers: the cluster at a glance, and all mirrors.
func (s *Server) handleOverview(w http.ResponseWriter, r *http.Request) error {
	return s.servePage(w, r, func(set *settings, frame page.Frame) (int, []byte, error) {
		look := s.mirrors.insight
		o := look.Overview(set.insightOptions(s.version), frame, insight.ParseQuery(r.URL.Query()), look.Observer.Look(r.Context()))
		body, err := o.Render()
		return http.StatusOK, body, err
	})
}

// handleMirrorPage is GET /x/mirror/<name>: the page of a mirror.
func (s *Server) handleMirrorPage(w http.ResponseWriter, r *http.Request) error {
	name, err := storage.ParseName(strings.TrimPrefix(strings.TrimLeft(r.URL.Path, "/"), mirrorPath))
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	return s.servePage(w, r, func(set *settings, frame page.Frame) (int, []byte, error) {
		look, opts := s.mirrors.insight, set.insightOptions(s.version)
		facts := look.Facts(opts, set.baseURL(r), name, look.Observer.Look(r.Context()), frame.Now)
		body, err := look.Mirror(opts, frame, name, facts, insight.ParseFrom(r.URL.Query())).Render()
		return insightStatus(facts), body, err
	})
}

// servePage answers with a page, or with 304 if the client has it. Who asks to wait gets the answer
// when something changes.
func (s *Server) servePage(w http.ResponseWriter, r *http.Request, render func(*settings, page.Frame) (int, []byte, error)) error {
	look := s.mirrors.insight
	version := look.Version()
	etag := `"` + version.String() + `"`
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Vary", "Accept")
	header.Set("Content-Security-Policy", page.Policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	if conditional.Precondition(r.Header, etag) != 0 {
		if wait, err := units.ParseDuration(r.URL.Query().Get("wait")); err == nil && wait > 0 {
			look.AwaitNews(r.Context(), s.closing, version, wait)
			version = look.Version()
			etag = `"` + version.String() + `"`
		}
	}
	header.Set("Etag", etag)
	if status := conditional.Precondition(r.Header, etag); status != 0 {
		return respond.Condition(w, status)
	}
	_, host, _ := strings.Cut(access.BaseURL(r), "://")
	status, body, err := render(s.settings(), page.Frame{
		Now: time.Now(), Version: version.String(), Server: cmp.Or(host, "this server"),
	})
	if err != nil {
		return err
	}
	header.Set("Content-Type", "text/html; charset=utf-8")
	respond.Body(w, r, status, body)
	return nil
}

// handleAsset is GET of a file that pages are made with.
func (s *Server) handleAsset(w http.ResponseWriter, r *http.Request) error {
	asset := page.Assets[strings.Trim(r.URL.Path, "/")]
	header := w.Header()
	header.Set("Etag", asset.ETag)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-cache")
	if asset.Current(r.URL.RawQuery) {
		header.Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	if status := conditional.Precondition(r.Header, asset.ETag); status != 0 {
		return respond.Condition(w, status)
	}
	header.Set("Content-Type", asset.Type)
	respond.Body(w, r, http.StatusOK, asset.Content)
	return nil
}
