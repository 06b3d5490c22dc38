package main

import (
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

	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/conditional"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/units"
)

// statusQuery is what a client wants to know.
type statusQuery struct {
	format   string
	name     storage.Name  // of the only mirror that it is about; empty for all
	kept     bool          // refs that are kept of it too
	upstream bool          // of slaves too
	pulls    bool          // how far pulls are that are running
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
			return q, fmt.Errorf("the parameter %q is given %d times", errtext.Word(key, 40), len(values))
		}
		value := values[0]
		switch key {
		case "format":
			if statusTypes[value] == "" {
				return q, fmt.Errorf("format=%q is unknown; hierarchical, json and toml are known", errtext.Word(value, 40))
			}
			q.format = value
		case "name":
			if q.name, err = storage.ParseName(value); err != nil {
				return q, err
			}
		case "upstream":
			if value != "0" && value != "1" {
				return q, fmt.Errorf("upstream=%q is neither 0 nor 1", errtext.Word(value, 40))
			}
			q.upstream = value == "1"
		case "wait":
			wait, err := units.ParseDuration(value)
			if err != nil || wait < 0 {
				return q, fmt.Errorf("wait=%q is not a duration; write a number of milliseconds (1500), or one with a unit (90s)", errtext.Word(value, 40))
			}
			q.wait = min(wait, timeout)
		default:
			return q, fmt.Errorf("the parameter %q is unknown; format, name, upstream and wait are known", errtext.Word(key, 40))
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
	trace, err := traceOf(r)
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	peer := r.Header.Get(protocol.PeerHeader) != ""
	asked := set.Master && q.upstream && !peer && !trace.Passed(s.id)
	if asked { // once in a request: another server has asked, or will tell the same
		_, again := s.statuses.Enter(trace.ID, time.Now(), func() struct{} { return struct{}{} })
		asked = !again
	}
	var counts protocol.Served
	if !peer { // to which it would be one more change
		counts = s.served.get(s, time.Now())
	}
	q.kept = !peer && trace.FromClient()                  // to a server it is nothing, and could be more than it reads
	q.pulls = !peer && (trace.FromClient() || q.upstream) // who only compares mirrors would read all of them anew
	fault := s.mirrors.store.CheckStorage()
	generation, moves := s.mirrors.store.Generation(), uint64(0) // before anything is read
	if q.pulls {
		moves = s.mirrors.store.Moves()
	}
	var own *protocol.Status
	if q.name != (storage.Name{}) { // an unknown one needs no slaves
		if own, err = s.ownStatus(set, q, fault); err != nil {
			return err
		}
	}
	var slaves []cluster.SlaveStatus
	if asked {
		slaves = s.mirrors.client.AskSlaves(r.Context(), q.name, q.wait, trace.Through(s.id))
	}
	render := func() ([]byte, error) {
		if own == nil {
			own = s.allStatus(set, q, fault)
		}
		own.Served = counts
		if asked {
			own.Upstream = protocol.NewUpstream(cluster.Documents(slaves))
		}
		return renderStatus(own, q.format)
	}
	var body []byte
	var etag string
	if own != nil {
		if body, err = render(); err == nil {
			etag = strongTag(string(body))
		}
	} else {
		etag = strongTag(append([]string{s.id, s.epoch, fmt.Sprint(generation, moves, asked, q.pulls, counts.Packs, counts.Archives), q.format}, cluster.Versions(slaves)...)...)
		if conditional.Precondition(r.Header, etag) == 0 {
			body, err = s.pages.get(pageKey{q.format, asked, peer, q.pulls}, etag, render)
		}
	}
	if err != nil {
		return err
	}
	header := w.Header()
	header.Set("Etag", etag)
	header.Set("Cache-Control", "no-cache")
	header.Set("Vary", "Accept")
	if status := conditional.Precondition(r.Header, etag); status != 0 {
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

// servedPause is how long the status tells the same of archives: they may be asked for a thousand
// times a second, and whoever watches the status shall be told what else is new.
const servedPause = 10 * time.Second

// servedCounts is what the status tells a client of archives and packs.
type servedCounts struct {
	mu       sync.Mutex         // guards all below
	archives *protocol.Archives // nil as long as nobody has asked for one
	at       time.Time          // when archives was counted
}

func (c *servedCounts) get(s *Server, now time.Time) (counts protocol.Served) {
	packs := s.mirrors.packs.Stats()
	if packs.Made+packs.Shared+packs.Kept > 0 {
		counts.Packs = &protocol.Packs{Made: packs.Made, Shared: packs.Shared, Kept: packs.Kept}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.archives == nil || now.Sub(c.at) >= servedPause {
		archives := s.mirrors.archives.Stats()
		if archives.Hits+archives.Misses > 0 {
			c.archives, c.at = &protocol.Archives{Hits: archives.Hits, Misses: archives.Misses}, now
		}
	}
	counts.Archives = c.archives
	return counts
}

// strongTag returns an ETag that is equal for equal words.
func strongTag(words ...string) string {
	h := sha256.New()
	for _, word := range words {
		fmt.Fprintf(h, "%d ", len(word))
		io.WriteString(h, word)
	}
	return `"` + hex.EncodeToString(h.Sum(nil)[:16]) + `"`
}

func renderStatus(d *protocol.Status, format string) ([]byte, error) {
	switch format {
	case "json":
		text, err := json.Marshal(d)
		return append(text, '\n'), err
	case "toml":
		return statusTOML(d)
	default:
		return []byte(d.String()), nil
	}
}

// selfStatus is what this server tells of itself but for mirrors. fault is why its storage cannot
// be used.
func (s *Server) selfStatus(set *settings, fault error) *protocol.Status {
	d := &protocol.Status{Role: set.role(), ID: s.id, Version: s.version}
	if fault != nil {
		fault = fmt.Errorf("can't use the storage: %w", fault)
		d.Error, d.HierarchicalError = errtext.Line(fault.Error()), errtext.Tree(fault)
	}
	for _, p := range set.Refs {
		d.Patterns = append(d.Patterns, p.String())
	}
	return d
}

// allStatus is what this server tells of itself.
func (s *Server) allStatus(set *settings, q statusQuery, fault error) *protocol.Status {
	d := s.selfStatus(set, fault)
	d.Loading = !s.mirrors.store.IsReady()
	running := s.mirrors.store.Running()
	all := s.mirrors.store.All()
	d.Mirrors = make([]protocol.Mirror, 0, len(all)+len(running))
	for _, m := range all {
		one := cluster.MirrorStatus(m, running[m.Name])
		if fault != nil { // what was read before is not there now
			one = cluster.StatusOf(m.Name, nil, running[m.Name], fault.Error())
		}
		delete(running, m.Name)
		d.Loading = d.Loading || m.Snapshot() == nil && m.Unreadable() == ""
		d.Mirrors = append(d.Mirrors, one)
	}
	for name, pull := range running { // that are being built
		d.Mirrors = append(d.Mirrors, cluster.StatusOf(name, nil, pull, ""))
	}
	if !q.pulls {
		for i := range d.Mirrors {
			d.Mirrors[i].Pull = nil
		}
	}
	if len(running) > 0 {
		slices.SortFunc(d.Mirrors, func(a, b protocol.Mirror) int { return strings.Compare(a.Name, b.Name) })
	}
	d.Total = len(d.Mirrors)
	return d
}

// ownStatus is what this server tells of itself if it is asked about one mirror. The
// error is mirror.ErrUnknown.
func (s *Server) ownStatus(set *settings, q statusQuery, fault error) (*protocol.Status, error) {
	name := q.name
	d := s.selfStatus(set, fault)
	d.Total = 1
	running := s.mirrors.store.Progress(name)
	m, err := s.mirrors.store.Get(name)
	switch {
	case errors.Is(err, mirror.ErrUnknown) && running != nil: // it is being built
		d.Mirrors = []protocol.Mirror{cluster.StatusOf(name, nil, running, "")}
	case errors.Is(err, mirror.ErrUnknown):
		return nil, err
	case err != nil:
		d.Mirrors = []protocol.Mirror{cluster.StatusOf(name, nil, running, err.Error())}
	default:
		one := cluster.MirrorStatus(m, running)
		if q.kept {
			one.Kept = cluster.RetainedStatus(m.Snapshot())
		}
		d.Mirrors = []protocol.Mirror{one}
	}
	return d, nil
}

// pages keeps the last status that was rendered in each form: whoever watches a quiet
// server costs it nothing.
type pages struct {
	mu   sync.Mutex // guards last; held while one is rendered, for all who want it
	last map[pageKey]rendered
}

type pageKey struct {
	format   string
	upstream bool
	peer     bool // for another server
	pulls    bool
}

type rendered struct {
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
		p.last = make(map[pageKey]rendered)
	}
	p.last[key] = rendered{etag, body}
	return body, nil
}
