package main

import (
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/why"
)

// whyPath is where mirrors are explained.
const whyPath = "x/why/"

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
	facts := s.mirrors.insight.Facts(set.insightOptions(s.version), baseURL(r), name, others, time.Now())
	answer, kind := why.Explain(facts), "text/plain; charset=utf-8"
	body := []byte(answer.String())
	if wantsJSON(r) {
		kind = "application/json"
		if body, err = json.Marshal(struct {
			Name string `json:"name"`
			why.Answer
		}{name.String(), answer}); err != nil {
			return err
		}
		body = append(body, '\n')
	}
	header := w.Header()
	header.Set("Content-Type", kind)
	header.Set("Cache-Control", "no-store")
	header.Set("Vary", "Accept")
	header.Set("X-Content-Type-Options", "nosniff")
	writeBody(w, r, insightStatus(facts), body)
	return nil
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

// writeBody sends a status and a body to a client that may read slowly.
func writeBody(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	steady := conn.NewDeadlineWriter(w)
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = steady.Write(body) // the client may be gone; that is no failure of ours
	}
}

// baseURL is this server's URL as the client calls it; empty if the client's Host header is no host.
func baseURL(r *http.Request) string {
	host, port := strings.ToLower(r.Host), ""
	if h, p, err := net.SplitHostPort(host); err == nil {
		host, port = h, p
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if !origin.IsHost(host) || !origin.IsPort(port) {
		return ""
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" {
		host += ":" + port
	}
	return scheme + host
}

// sender says who has sent a request, for people. A server of the cluster sends on what somebody has
// asked of it.
func sender(r *http.Request, trace protocol.Trace) string {
	address := r.RemoteAddr
	if host, _, err := net.SplitHostPort(address); err == nil {
		address = host
	}
	if !trace.FromClient() || isPeer(r) {
		return "another server of the cluster (" + address + ")"
	}
	return address
}
