package protocol

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Trace is where a request has come from.
type Trace struct {
	ID  string   // of the request, the same on all servers that it is passed on to
	Via []string // ids of the servers that it has come through, none for one of a client

	Begins bool // the id was given here
}

// Headers of a trace.
const (
	requestHeader = "Sould-Request"
	viaHeader     = "Sould-Via"
)

// Bounds of what a request says of where it comes from.
const (
	maxVia = 16 // servers that it may have come through
	maxID  = 64 // bytes of the id of a server or of a request
)

// NewTrace is the trace of a request that begins at a server.
func NewTrace(server string) Trace { return Trace{ID: rand.Text()}.Through(server) }

// ReadTrace reads the trace of a request. One of a client gets an id: a client might call
// two of them the same, and the second one would learn what became of the first. So does one
// of an older server, which gives none.
func ReadTrace(h http.Header) (Trace, error) {
	via, err := parseVia(h.Get(viaHeader))
	if err != nil {
		return Trace{}, err
	}
	id := h.Get(requestHeader)
	switch {
	case len(via) == 0, id == "":
		return Trace{ID: rand.Text(), Via: via, Begins: true}, nil
	case len(id) > maxID || strings.ContainsFunc(id, notOfID):
		return Trace{}, fmt.Errorf("%s is no id", requestHeader)
	}
	return Trace{ID: id, Via: via}, nil
}

func notOfID(c rune) bool {
	return (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_'
}

// parseVia reads ids of servers.
func parseVia(value string) ([]string, error) {
	var ids []string
	for id := range strings.SplitSeq(value, ",") {
		if id = strings.TrimSpace(id); id == "" {
			continue
		}
		if len(id) > maxID || len(ids) == maxVia {
			return nil, fmt.Errorf("%s names too many servers, or none", viaHeader)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// Through is the trace of the same request when a server passes it on.
func (t Trace) Through(server string) Trace {
	return Trace{ID: t.ID, Via: append(slices.Clip(t.Via), server)}
}

// FromClient reports whether no server has passed the request on.
func (t Trace) FromClient() bool { return len(t.Via) == 0 }

// Passed reports whether the request has come through a server.
func (t Trace) Passed(server string) bool { return slices.Contains(t.Via, server) }

// Set writes the headers.
func (t Trace) Set(h http.Header) {
	h.Set(requestHeader, t.ID)
	h.Set(viaHeader, strings.Join(t.Via, ", "))
}
