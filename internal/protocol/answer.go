package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
)

// ErrAtWork is the error for a server whose pull has not ended yet (202).
var ErrAtWork = errors.New("it is still at work")

// ReadAnswer reads another server's answer to a POST or a DELETE. text is the answer's body, up to
// MaxAnswer bytes and one more. The answer need not be JSON: an older sould knows neither JSON nor
// 202. Parts that exceed the bounds are left out, and Cut says so. The outcome does not show the
// secrets, which were sent to that server. The error wraps ErrAtWork, or says that the answer is a
// redirect.
func ReadAnswer(answer *http.Response, text []byte, secrets []string) (Outcome, error) {
	o, isReport := readReport(answer.Header, text, secrets)
	says := errtext.Sanitize(answer.Status, secrets)
	if answer.StatusCode == http.StatusUnauthorized { // its own words are for people, and not for a server
		says, o.Error = otherToken+" ("+says+")", otherToken
		isReport = false
	}
	switch {
	case answer.StatusCode == http.StatusOK:
		o.State, o.Error, o.HierarchicalError = Success, "", ""
		return o, nil
	case answer.StatusCode == http.StatusAlreadyReported:
		return Outcome{State: Elsewhere, ID: o.ID, Error: elsewhereWords}, nil
	case answer.StatusCode == http.StatusAccepted:
		return Outcome{}, fmt.Errorf("%w (%s), and goes on", ErrAtWork, atWorkOn(o.Progress))
	case answer.StatusCode/100 == 3:
		return Outcome{}, fmt.Errorf("it answered with a redirect (%s), which is not followed", says)
	case isReport && o.State == Success:
		o.HierarchicalError = says + ": it has done its own part"
	case !isReport || o.HierarchicalError == "":
		tree := errtext.Branch{Text: says, Below: []errtext.Branch{{Text: o.HierarchicalError}}}
		o.HierarchicalError = strings.TrimRight(tree.String(), "\n └─")
	}
	if o.Error == "" {
		o.Error = says
	}
	o.SomePulled = o.pulled()
	o.State = Failed
	return o, nil
}

// otherToken is why a server of the cluster refuses another one.
const otherToken = "it has another token than the server that asks it: the key token must be the same on all servers of the cluster"

// readReport reads the body of an answer. If that is no report, HierarchicalError has its text.
func readReport(header http.Header, text []byte, secrets []string) (o Outcome, isReport bool) {
	if err := CheckEncoding(header, secrets); err != nil {
		return Outcome{Cut: "its answer is left out: " + err.Error()}, false
	}
	var exceeded *excess
	if kind, _, _ := mime.ParseMediaType(header.Get("Content-Type")); kind == "application/json" {
		r := newForeignReader(bytes.NewReader(text), MaxAnswer, secrets)
		var err error
		if o, err = r.outcome(0); err == nil {
			err = r.end()
		}
		isReport = o.State != "" && (err == nil || errors.As(err, &exceeded))
	}
	if !isReport {
		o = Outcome{HierarchicalError: errtext.Sanitize(string(text), secrets)}
	}
	if exceeded != nil {
		o.Cut = "part of its answer is left out: " + exceeded.words
	}
	return o, isReport
}

func atWorkOn(progress string) string {
	if progress == "" {
		return "it does not say at what"
	}
	return progress
}

// outcome reads the outcome of a request on a server, and on those below it. With an error it
// returns what was read before.
func (r *foreignReader) outcome(depth int) (o Outcome, err error) {
	if err := r.countServer(depth); err != nil {
		return o, err
	}
	fields := map[string]any{
		"address": &o.Address, "id": &o.ID, "state": &o.State, "branch": &o.Branch, "revision": &o.Revision,
		"refs_changed": &o.Changed, "removed": &o.Removed, "absent": &o.Absent, "seconds": &o.Seconds, "from": &o.From,
		"progress": &o.Progress, "error": &o.Error, "hierarchical_error": &o.HierarchicalError, "cut": &o.Cut,
		"some_pulled": &o.SomePulled,
	}
	err = r.object(func(key string) (bool, error) {
		if key == "slaves" {
			return true, r.list('[', ']', func() error {
				slave, err := r.outcome(depth + 1)
				if err == nil {
					o.Slaves = append(o.Slaves, slave)
				}
				return err
			})
		}
		field := fields[key]
		if field == nil {
			return false, nil
		}
		return true, r.value(field)
	})
	o = o.sanitize(r.secrets)
	if err == nil {
		err = r.countSize(o.ownSize(depth))
	}
	return o, err
}

// sanitize makes another server's outcome fit to be shown. It leaves Slaves as they are.
func (o Outcome) sanitize(secrets []string) Outcome {
	for _, field := range []*string{&o.Address, &o.ID, &o.Branch, &o.Progress, &o.From, &o.Error, &o.Cut} {
		*field = errtext.SanitizeLine(*field, secrets)
	}
	o.HierarchicalError = errtext.Sanitize(o.HierarchicalError, secrets)
	switch o.State {
	case Processing, Success, Failed, Elsewhere:
	default:
		o.State = ""
	}
	if !git.IsID(o.Revision) {
		o.Revision = ""
	}
	o.Changed = max(o.Changed, 0)
	o.Seconds = min(max(o.Seconds, 0), maxSeconds)
	return o
}

// maxSeconds bounds the time that a server says it has taken.
const maxSeconds = 1e7

// Size is the size in bytes of the outcome and of those below it, by the measure of size.
func (o *Outcome) Size() int { return o.size(0) }

func (o *Outcome) size(depth int) int {
	all := o.ownSize(depth)
	for i := range o.Slaves {
		all += o.Slaves[i].size(depth + 1)
	}
	return all
}

func (o *Outcome) ownSize(depth int) int {
	indent := serverIndent * (depth + 1)
	all := outcomeSize + 4*indent
	for _, text := range []string{o.Address, o.ID, o.Branch, o.Revision, o.From, o.Progress, o.Error, o.HierarchicalError, o.Cut} {
		all += size(text, indent)
	}
	return all
}
