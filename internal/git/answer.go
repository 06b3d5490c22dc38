package git

import (
	"bytes"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/lsrefs"
	"github.com/reconquest/sould/internal/ratelimit"
)

// lastAnswer is what a web server has answered last to a command that transfers objects. Git says of an
// answer that is an error only its status, so it is asked for a trace of the headers that it receives
// (GIT_TRACE_CURL in git(1)), of which those are kept that say for how long the server wants to be left alone.
type lastAnswer struct {
	line   []byte // one that is not complete
	status int
	header http.Header
}

// trace has a command that is not started yet tell a of the answers. A nil a is told of none.
func (a *lastAnswer) trace(cmd *exec.Cmd) (*traceCopy, error) {
	if a == nil {
		return nil, nil
	}
	cmd.Env = append(cmd.Env, "GIT_TRACE_CURL_NO_DATA=1")
	return traceTo(cmd, "GIT_TRACE_CURL", a)
}

// maxTraceLine is the length of the longest line of a trace that is read, in bytes.
const maxTraceLine = 1 << 10

// Write takes in a piece of the trace.
func (a *lastAnswer) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		piece, after, whole := bytes.Cut(rest, []byte("\n"))
		a.line = append(a.line, piece[:min(len(piece), maxTraceLine-len(a.line))]...)
		rest = after
		if whole {
			if m := traceLine.FindSubmatch(a.line); m != nil {
				a.record(strings.TrimSpace(string(m[1])))
			}
			a.line = a.line[:0]
		}
	}
	return len(p), nil
}

// record keeps the first line of an answer, or one of its headers.
func (a *lastAnswer) record(line string) {
	if version, status, ok := strings.Cut(line, " "); ok && strings.HasPrefix(version, "HTTP/") {
		status, _, _ = strings.Cut(status, " ")
		a.status, _ = strconv.Atoi(status)
		a.header = make(http.Header)
		return
	}
	if name, value, ok := strings.Cut(line, ":"); ok && a.header != nil && ratelimit.Reads(name) {
		a.header.Set(name, strings.TrimSpace(value))
	}
}

// explain adds to an error of git with the status of the last answer what that has said.
func (a *lastAnswer) explain(e *Error) {
	if e.Err == nil && strings.Contains(quoted.ReplaceAllString(e.Stderr, "''"), "returned error: "+strconv.Itoa(a.status)) {
		e.RetryAfter = ratelimit.Asked(a.status, a.header, time.Now(), lsrefs.MaxAsked)
	}
}
