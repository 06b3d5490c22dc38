package protocol

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Trace is the way of a request through the servers.
type Trace struct {
	ID  string   // of the request, the same on all servers
	Via []string // ids of the servers that it has passed; empty for a client's request

	Begins bool // this server has given the request its id
}

// Headers of a trace.
const (
	requestHeader = "Sould-Request"
	viaHeader     = "Sould-Via"
)

// Bounds of a trace.
const (
	maxVia = 16 // servers that a request may have passed
	maxID  = 64 // bytes of the id of a server or of a request
)

// NewTrace returns the trace of a request that a server sends of its own accord.
func NewTrace(server string) Trace { return Trace{ID: rand.Text()}.Through(server) }

// NewClientTrace returns the trace of a client's request that has passed no server yet.
func NewClientTrace() Trace { return Trace{ID: rand.Text(), Begins: true} }

// ReadTrace reads the trace of a request. A client's request always gets a new id: if clients could
// choose ids, the second request with one id would get the answer to the first. A request of an
// older server, which sends none, gets a new id too.
func ReadTrace(h http.Header) (Trace, error) {
	via, err := parseVia(h.Get(viaHeader))
	if err != nil {
		return Trace{}, err
	}
	id := h.Get(requestHeader)
	switch {
	case len(via) == 0, id == "":
		return Trace{ID: rand.Text(), Via: via, Begins: true}, nil
	case !IsID(id):
		return Trace{}, fmt.Errorf("the header %s is not an id", requestHeader)
	}
	return Trace{ID: id, Via: via}, nil
}

// IsID reports whether a text can be the id of a request.
func IsID(text string) bool {
	return text != "" && len(text) <= maxID && !strings.ContainsFunc(text, notInID)
}

func notInID(c rune) bool {
	return (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_'
}

// parseVia reads a list of servers' ids.
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

// Through returns the trace of the same request after it has passed a server.
func (t Trace) Through(server string) Trace {
	return Trace{ID: t.ID, Via: append(slices.Clip(t.Via), server)}
}

// FromClient reports whether no server has passed the request on.
func (t Trace) FromClient() bool { return len(t.Via) == 0 }

// Passed reports whether the request has passed a server.
func (t Trace) Passed(server string) bool { return slices.Contains(t.Via, server) }

// Set sets the headers of a request.
func (t Trace) Set(h http.Header) {
	h.Set(requestHeader, t.ID)
	h.Set(viaHeader, strings.Join(t.Via, ", "))
}
