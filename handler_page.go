package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/reconquest/sould/internal/conditional"
	"github.com/reconquest/sould/internal/insight"
	"github.com/reconquest/sould/internal/page"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/units"
)

// mirrorPath is where the pages of mirrors are.
const mirrorPath = "x/mirror/"

// Bounds of pages that wait for news.
const (
	maxWatch    = 30 * time.Second // for which one waits
	maxWatchers = 512              // that wait at once, or 1/32 of the descriptors
)

// watchers counts the pages that wait for news.
type watchers struct {
	waiting atomic.Int64
	most    int64
}

// enter takes a place, which leave gives back. It reports whether there was one.
func (w *watchers) enter() bool {
	if w.waiting.Add(1) > w.most {
		w.waiting.Add(-1)
		return false
	}
	return true
}

func (w *watchers) leave() { w.waiting.Add(-1) }

// prefersPage reports whether a client wants a page, as a browser does: it names text/html, and
// nothing that sould can send instead with a higher preference (RFC 9110, section 12.5.1).
func prefersPage(accept []string) bool {
	var page, other float64
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		kind, parameters, _ := strings.Cut(part, ";")
		quality := 1.0
		for parameter := range strings.SplitSeq(parameters, ";") {
			if value, ok := strings.CutPrefix(strings.TrimSpace(parameter), "q="); ok {
				quality, _ = strconv.ParseFloat(value, 64) // what is no number is as good as 0
			}
		}
		switch strings.ToLower(strings.TrimSpace(kind)) {
		case "text/html":
			page = max(page, quality)
		case "text/plain", "application/json", "application/toml":
			other = max(other, quality)
		}
	}
	return page > 0 && page >= other
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
		facts := look.Facts(opts, baseURL(r), name, look.Observer.Look(r.Context()), frame.Now)
		body, err := look.Mirror(opts, frame, name, facts, insight.ParseFrom(r.URL.Query())).Render()
		return insightStatus(facts), body, err
	})
}

// servePage answers with a page, or with 304 if the client has it. Who asks to wait gets the answer
// when something changes.
func (s *Server) servePage(w http.ResponseWriter, r *http.Request, render func(*settings, page.Frame) (int, []byte, error)) error {
	version := s.pageVersion()
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
			s.awaitNews(r.Context(), version, min(wait, maxWatch))
			version = s.pageVersion()
			etag = `"` + version.String() + `"`
		}
	}
	header.Set("Etag", etag)
	if status := conditional.Precondition(r.Header, etag); status != 0 {
		return answerCondition(w, status)
	}
	base := baseURL(r)
	_, host, _ := strings.Cut(base, "://")
	status, body, err := render(s.settings(), page.Frame{
		Now: time.Now(), Version: version.String(), Server: cmp.Or(host, "this server"),
	})
	if err != nil {
		return err
	}
	header.Set("Content-Type", "text/html; charset=utf-8")
	writeBody(w, r, status, body)
	return nil
}

// pageVersion is what a page depends on.
type pageVersion struct {
	epoch                string // of this start
	mirrors, moves, news uint64
}

func (v pageVersion) String() string {
	return fmt.Sprintf("%.8s-%d-%d-%d", v.epoch, v.mirrors, v.moves, v.news)
}

// pageVersion returns the version that a page has which is read from now on.
func (s *Server) pageVersion() pageVersion {
	news, _ := s.mirrors.insight.Observer.News()
	store := s.mirrors.store
	return pageVersion{s.epoch, store.Generation(), store.Moves(), news}
}

// awaitNews waits until a page with that version is not the current one any more, for as long as
// wait. It has the other servers asked meanwhile. If too many wait already, it does not.
func (s *Server) awaitNews(ctx context.Context, version pageVersion, wait time.Duration) {
	if !s.watchers.enter() {
		return
	}
	defer s.watchers.leave()
	over := time.NewTimer(wait)
	defer over.Stop()
	look := time.NewTicker(insight.LookEvery)
	defer look.Stop()
	for {
		s.mirrors.insight.Observer.Look(ctx)
		news, changed := s.mirrors.insight.Observer.News()
		if news != version.news {
			return
		}
		select {
		case <-look.C:
		case <-changed:
			return
		case <-s.mirrors.store.After(version.mirrors):
			return
		case <-s.mirrors.store.AfterMoves(version.moves):
			return
		case <-over.C:
			return
		case <-s.closing:
			return
		case <-ctx.Done():
			return
		}
	}
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
		return answerCondition(w, status)
	}
	header.Set("Content-Type", asset.Type)
	writeBody(w, r, http.StatusOK, asset.Content)
	return nil
}
