package main

import (
	"net/http"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/insight"
	"github.com/reconquest/sould/internal/page"
	"github.com/reconquest/sould/internal/respond"
	"github.com/reconquest/sould/internal/storage"
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
	look := s.mirrors.insight
	return look.ServePage(w, r, s.closing, func(frame page.Frame) (int, []byte, error) {
		o := look.Overview(s.settings().insightOptions(s.version), frame, insight.ParseQuery(r.URL.Query()), look.Observer.Look(r.Context()))
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
	look := s.mirrors.insight
	return look.ServePage(w, r, s.closing, func(frame page.Frame) (int, []byte, error) {
		set := s.settings()
		opts := set.insightOptions(s.version)
		facts := look.Facts(opts, set.baseURL(r), name, look.Observer.Look(r.Context()), frame.Now)
		body, err := look.Mirror(opts, frame, name, facts, insight.ParseFrom(r.URL.Query())).Render()
		return insightStatus(facts), body, err
	})
}
