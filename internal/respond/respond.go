// Package respond has what the answers of all handlers have in common: the form that a client asks for,
// bodies for clients that read slowly, answers to conditions, and the headers of a mirror and of an error.
package respond

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/reconquest/sould/internal/conditional"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/protocol"
)

// ErrOtherVersion is why a request gets 412 whose If-Match does not hold.
var ErrOtherVersion = errors.New("If-Match names another version than there is now")

// WantsJSON reports whether the client asks for JSON.
func WantsJSON(r *http.Request) bool {
	return conditional.Accepts(r.Header, "application/json") || conditional.Accepts(r.Header, protocol.StreamType)
}

// Document answers with facts: as JSON if the client asks for it, else as text for a person. It is about
// this moment, and not to be kept. The error is that of json.Marshal; nothing is written then.
func Document(w http.ResponseWriter, r *http.Request, status int, facts fmt.Stringer) error {
	var body []byte
	kind := "text/plain; charset=utf-8"
	if WantsJSON(r) {
		encoded, err := json.Marshal(facts)
		if err != nil {
			return err
		}
		kind, body = "application/json", append(encoded, '\n')
	} else {
		body = []byte(facts.String())
	}
	header := w.Header()
	header.Set("Content-Type", kind)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	Body(w, r, status, body)
	return nil
}

// Body sends a status and a body to a client that may read slowly.
func Body(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	steady := conn.NewDeadlineWriter(w)
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = steady.Write(body) // the client may be gone; that is no failure of ours
	}
}

// Condition answers a request whose condition decides about it: with 304, or with ErrOtherVersion.
func Condition(w http.ResponseWriter, status int) error {
	if status == http.StatusPreconditionFailed {
		return ErrOtherVersion
	}
	w.WriteHeader(status)
	return nil
}

// Content sends a file, or the ranges of it that the client asks for (http.ServeContent).
func Content(w *conn.DeadlineWriter, r *http.Request, content io.ReadSeeker) {
	http.ServeContent(contentWriter{w}, r, "", time.Time{}, content)
}

// contentWriter is a DeadlineWriter for http.ServeContent, to which it may turn out late that
// the answer is an error (416).
type contentWriter struct{ *conn.DeadlineWriter }

func (c contentWriter) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		SetError(c.Header())
	}
	c.DeadlineWriter.WriteHeader(status)
}

// SetError takes from an answer that is an error what was said of the content that it
// was to be: a cache would keep the error for as long as that.
func SetError(header http.Header) {
	header.Set("Cache-Control", "no-store")
	for _, name := range []string{"Etag", "Accept-Ranges", "Content-Disposition", "Repr-Digest"} {
		header.Del(name)
	}
}

// The values of X-State. They are shared by all answers, and must not be changed.
var succeeded, failed = []string{string(mirror.Success)}, []string{string(mirror.Failed)}

// SetState says of what state and age an answer about a mirror is.
func SetState(header http.Header, snap *mirror.Snapshot) {
	header["X-State"] = failed
	if snap.Outcome == mirror.Success {
		header["X-State"] = succeeded
	}
	if !snap.Date().IsZero() {
		header["X-Date"] = []string{snap.DateText}
	}
}
