package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/units"
)

// statusQuery is what a client wants to know.
type statusQuery struct {
	format   string
	name     storage.Name  // of the only mirror that it is about; empty for all
	kept     bool          // refs that are kept of it too
	upstream bool          // of slaves too
	wait     time.Duration // the longest to wait for them
}

// statusTypes are the formats, and what an answer calls them.
var statusTypes = map[string]string{
	"hierarchical": "text/plain; charset=utf-8",
	"json":         "application/json",
	"toml":         "application/toml",
}

// parseStatus reads the query of a request for the status.
func parseStatus(raw string, wantsJSON bool, timeout time.Duration) (statusQuery, error) {
	q := statusQuery{format: "hierarchical", upstream: true, wait: timeout}
	if wantsJSON {
		q.format = "json"
	}
	fields, err := url.ParseQuery(raw)
	if err != nil {
		return q, fmt.Errorf("the query is malformed: %w", err)
	}
	for key, values := range fields {
		if len(values) > 1 {
			return q, fmt.Errorf("the parameter %.40q is given %d times", key, len(values))
		}
		value := values[0]
		switch key {
		case "format":
			if statusTypes[value] == "" {
				return q, fmt.Errorf("format=%.40q is unknown; hierarchical, json and toml are known", value)
			}
			q.format = value
		case "name":
			if q.name, err = storage.ParseName(value); err != nil {
				return q, err
			}
		case "upstream":
			if value != "0" && value != "1" {
				return q, fmt.Errorf("upstream=%.40q is neither 0 nor 1", value)
			}
			q.upstream = value == "1"
		case "wait":
			wait, err := units.ParseDuration(value)
			if err != nil || wait < 0 {
				return q, fmt.Errorf("wait=%.40q is no duration; write milliseconds (1500) or a unit (90s)", value)
			}
			q.wait = min(wait, timeout)
		default:
			return q, fmt.Errorf("the parameter %.40q is unknown; format, name, upstream and wait are known", key)
		}
	}
	return q, nil
}

// handleStatus is GET /x/status: what is going on.
func (s *Server) handleStatus(w http.ResponseWriter, r *http.Request) error {
	set := s.settings()
	q, err := parseStatus(r.URL.RawQuery, wantsJSON(r), set.Timeout)
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	via, err := parseVia(r.Header.Get(viaHeader))
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	peer := r.Header.Get(peerHeader) != ""
	asked := set.Master && q.upstream && !peer && !slices.Contains(via, s.id)
	q.kept = !peer && len(via) == 0      // to a server it is nothing, and could be more than it reads
	generation := s.mirrors.Generation() // before anything is read
	var own *statusDocument
	if q.name != (storage.Name{}) { // an unknown one needs no slaves
		if own, err = s.ownStatus(set, q); err != nil {
			return err
		}
	}
	var slaves []slaveStatus
	if asked {
		slaves = s.askSlaves(r.Context(), set, q, append(slices.Clip(via), s.id))
	}
	render := func() ([]byte, error) {
		if own == nil {
			own = s.allStatus(set)
		}
		if asked {
			own.Upstream = newUpstream(entries(slaves))
		}
		return own.render(q.format)
	}
	var body []byte
	var etag string
	if own != nil {
		if body, err = render(); err == nil {
			etag = strongTag(string(body))
		}
	} else {
		etag = strongTag(append([]string{s.id, s.epoch, fmt.Sprint(generation, asked), q.format}, stamps(slaves)...)...)
		if precondition(r.Header, etag) == 0 {
			body, err = s.pages.get(pageKey{q.format, asked}, etag, render)
		}
	}
	if err != nil {
		return err
	}
	header := w.Header()
	header.Set("Etag", etag)
	header.Set("Cache-Control", "no-cache")
	header.Set("Vary", "Accept")
	if status := precondition(r.Header, etag); status != 0 {
		return answerCondition(w, status)
	}
	header.Set("Content-Type", statusTypes[q.format])
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Length", fmt.Sprint(len(body)))
	if r.Method != http.MethodHead {
		steady := conn.NewDeadlineWriter(w)
		_, _ = steady.Write(body) // the client may be gone; that is no failure of ours
	}
	return nil
}

// strongTag is an ETag for what these words tell apart.
func strongTag(words ...string) string {
	h := sha256.New()
	for _, word := range words {
		fmt.Fprintf(h, "%d ", len(word))
		io.WriteString(h, word)
	}
	return `"` + hex.EncodeToString(h.Sum(nil)[:16]) + `"`
}

func (d *statusDocument) render(format string) ([]byte, error) {
	switch format {
	case "json":
		text, err := json.Marshal(d)
		return append(text, '\n'), err
	case "toml":
		return d.toml()
	default:
		return []byte(d.String()), nil
	}
}

// selfStatus is what this server tells of itself but for mirrors.
func (s *Server) selfStatus(set *settings) *statusDocument {
	d := &statusDocument{Role: set.role(), ID: s.id, Version: s.version}
	for _, p := range set.Refs {
		d.Patterns = append(d.Patterns, p.String())
	}
	return d
}

// allStatus is what this server tells of itself.
func (s *Server) allStatus(set *settings) *statusDocument {
	d := s.selfStatus(set)
	d.Loading = !s.mirrors.Looked()
	going := s.mirrors.Going()
	all := s.mirrors.All()
	d.Mirrors = make([]mirrorStatus, 0, len(all)+len(going))
	for _, m := range all {
		one := m.status(going[m.Name])
		delete(going, m.Name)
		d.Loading = d.Loading || m.Snapshot() == nil && m.unreadable.Load() == nil
		d.Mirrors = append(d.Mirrors, one)
	}
	for name := range going { // that are being built
		d.Mirrors = append(d.Mirrors, statusOf(name, nil, true, ""))
	}
	if len(going) > 0 {
		slices.SortFunc(d.Mirrors, func(a, b mirrorStatus) int { return strings.Compare(a.Name, b.Name) })
	}
	d.Total = len(d.Mirrors)
	return d
}

// ownStatus is what this server tells of itself if it is asked about one mirror. The
// error is errUnknownMirror.
func (s *Server) ownStatus(set *settings, q statusQuery) (*statusDocument, error) {
	name := q.name
	d := s.selfStatus(set)
	d.Total = 1
	processing := s.mirrors.Progress(name) != nil
	m, err := s.mirrors.Get(set, name)
	switch {
	case errors.Is(err, errUnknownMirror) && processing: // it is being built
		d.Mirrors = []mirrorStatus{statusOf(name, nil, true, "")}
	case errors.Is(err, errUnknownMirror):
		return nil, err
	case err != nil:
		d.Mirrors = []mirrorStatus{statusOf(name, nil, processing, err.Error())}
	default:
		one := m.status(processing)
		if q.kept {
			one.Kept = keptOf(m.Snapshot())
		}
		d.Mirrors = []mirrorStatus{one}
	}
	return d, nil
}

// status is what is to be told of the mirror.
func (m *Mirror) status(processing bool) mirrorStatus {
	unreadable := ""
	if why := m.unreadable.Load(); why != nil {
		unreadable = *why
	}
	return statusOf(m.Name, m.Snapshot(), processing, unreadable)
}

// slaveStatus is what a slave told, or why it did not.
type slaveStatus struct {
	entry statusDocument
	stamp string // equal for what is the same
}

func entries(all []slaveStatus) []statusDocument {
	docs := make([]statusDocument, len(all))
	for i, one := range all {
		docs[i] = one.entry
	}
	return docs
}

func stamps(all []slaveStatus) []string {
	words := make([]string, len(all))
	for i, one := range all {
		words[i] = one.stamp
	}
	return words
}

// askSlaves asks all slaves at once.
func (s *Server) askSlaves(ctx context.Context, set *settings, q statusQuery, via []string) []slaveStatus {
	ctx, cancel := context.WithTimeoutCause(ctx, q.wait, fmt.Errorf("no answer within %s", q.wait))
	defer cancel()
	all := make([]slaveStatus, len(set.Slaves))
	var parts sync.WaitGroup
	for i, address := range set.Slaves {
		parts.Go(func() { all[i] = s.askSlave(ctx, address, q, via) })
	}
	parts.Wait()
	return all
}

func (s *Server) askSlave(ctx context.Context, address Address, q statusQuery, via []string) slaveStatus {
	b, serial := s.siblings.at(address, true), uint64(0)
	var doc *statusDocument
	var err error
	if q.name != (storage.Name{}) {
		doc, err = b.Mirror(ctx, via, q.name)
	} else {
		doc, serial, _, err = b.ask(ctx, via)
	}
	if err == nil && doc.ID == s.id {
		err = errors.New("that is this very server")
	}
	if err != nil {
		return slaveStatus{failedStatus(address, err), address.url + " " + err.Error()}
	}
	entry := *doc
	entry.Address = address.String()
	return slaveStatus{entry, fmt.Sprint(address.url, " ", serial)}
}

// pages keeps the last status that was rendered in each form: whoever watches a quiet
// server costs it nothing.
type pages struct {
	mu   sync.Mutex // guards last; held while one is rendered, for all who want it
	last map[pageKey]page
}

type pageKey struct {
	format   string
	upstream bool
}

type page struct {
	etag string
	body []byte
}

// get returns the page with that ETag, which render makes if it is not the last one.
func (p *pages) get(key pageKey, etag string, render func() ([]byte, error)) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := p.last[key]; last.etag == etag {
		return last.body, nil
	}
	body, err := render()
	if err != nil {
		return nil, err
	}
	if p.last == nil {
		p.last = make(map[pageKey]page)
	}
	p.last[key] = page{etag, body}
	return body, nil
}
