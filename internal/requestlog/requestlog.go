// Package requestlog writes a line into the log for each request, at debug level: what it asks, how it
// ended, and its id, which is the same on all servers that it is passed on to. Values that may be secrets
// are not shown.
package requestlog

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/units"
)

// traceKey is the key of a request's trace in its context.
type traceKey struct{}

// TraceOf reads the trace of a request, once if the request is logged: a client's request gets
// another id each time.
func TraceOf(r *http.Request) (protocol.Trace, error) {
	if trace, ok := r.Context().Value(traceKey{}).(protocol.Trace); ok {
		return trace, nil
	}
	return protocol.ReadTrace(r.Header)
}

// Serve serves a request, and logs how it ended if the log has lines of this level.
func Serve(log *slog.Logger, w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	if log.Enabled(context.Background(), slog.LevelDebug) {
		serveLogged(log, w, r, serve)
	} else {
		serve(w, r)
	}
}

func serveLogged(log *slog.Logger, w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	began := time.Now()
	log = log.With("method", errtext.Word(r.Method, 40), "path", errtext.Word(r.URL.Path, 200))
	if query := shownQuery(r.URL.RawQuery); query != "" {
		log = log.With("query", query)
	}
	if trace, err := protocol.ReadTrace(r.Header); err == nil { // else the handler says what is wrong with it
		log = log.With("request", trace.ID)
		r = r.WithContext(context.WithValue(r.Context(), traceKey{}, trace))
	}
	if id := r.Header.Get("X-Request-Id"); protocol.IsID(id) { // of a proxy before this server
		log = log.With("proxy_request", id)
	}
	counted := &countedWriter{ResponseWriter: w, status: http.StatusOK}
	defer func() {
		reason := recover()
		log.Debug("request", "status", counted.status, "bytes", counted.bytes, "took", units.FormatSeconds(time.Since(began)),
			"client", r.RemoteAddr, "broken_off", reason != nil)
		if reason != nil {
			panic(reason)
		}
	}()
	serve(counted, r)
}

// shownParameters are the parameters of a query whose values the log may show: others may be
// secrets that a client has put there.
var shownParameters = []string{"contains", "format", "name", "path", "prefix", "ref", "service", "since", "upstream", "wait"}

// shownQuery is what the log shows of a query.
func shownQuery(raw string) string {
	fields, err := url.ParseQuery(raw)
	if err != nil {
		return "malformed"
	}
	var shown []string
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		for _, value := range fields[key] {
			if !slices.Contains(shownParameters, key) {
				value = "***"
			}
			shown = append(shown, errtext.Word(key, 40)+"="+errtext.Word(value, 100))
		}
	}
	return errtext.Clip(strings.Join(shown, "&"), 400)
}

// countedWriter counts what is answered.
type countedWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (c *countedWriter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *countedWriter) WriteHeader(status int) {
	if status >= http.StatusOK { // others announce it
		c.status = status
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *countedWriter) Write(p []byte) (n int, err error) {
	n, err = c.ResponseWriter.Write(p)
	c.bytes += int64(n)
	return n, err
}

// ReadFrom lets the kernel send a file by itself.
func (c *countedWriter) ReadFrom(src io.Reader) (n int64, err error) {
	n, err = io.Copy(c.ResponseWriter, src)
	c.bytes += n
	return n, err
}
