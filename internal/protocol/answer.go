package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
)

// ErrAtWork is why a server has not answered yet whether it could pull.
var ErrAtWork = errors.New("it is still at work")

// ReadAnswer reads what another server has to say of a POST or a DELETE, of which text is the
// answer's body. An older sould knows neither JSON nor 202; any server that answers 200 or 500
// will do. The outcome does not show the secrets, which were sent to that server.
func ReadAnswer(answer *http.Response, text []byte, secrets []string) (Outcome, error) {
	var its Report
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	isReport := kind == "application/json" && json.Unmarshal(text, &its) == nil && its.State != ""
	o := its.Outcome
	if !isReport {
		o = Outcome{HierarchicalError: string(text)}
	}
	o = o.Sanitize(secrets)
	says := errtext.Sanitize(answer.Status, secrets)
	switch {
	case answer.StatusCode == http.StatusOK:
		o.State, o.Error, o.HierarchicalError = Success, "", ""
		return o, nil
	case answer.StatusCode == http.StatusAccepted:
		return Outcome{}, fmt.Errorf("%w (%s), and goes on", ErrAtWork, atWorkOn(o.Progress))
	case answer.StatusCode/100 == 3:
		return Outcome{}, fmt.Errorf("it answered with a redirect (%s), which is not followed", says)
	case !isReport || o.HierarchicalError == "":
		o.HierarchicalError = strings.TrimRight(errtext.Branches(says, o.HierarchicalError), "\n └─")
	}
	if o.Error == "" {
		o.Error = says
	}
	o.State = Failed
	return o, nil
}

func atWorkOn(progress string) string {
	if progress == "" {
		return "it does not say at what"
	}
	return progress
}

// Sanitize makes another server's outcome, and those of its own slaves, fit to be shown.
func (o Outcome) Sanitize(secrets []string) Outcome {
	for _, field := range []*string{&o.Address, &o.Branch, &o.Revision, &o.Progress, &o.From, &o.Error, &o.HierarchicalError, (*string)(&o.State)} {
		*field = errtext.Sanitize(*field, secrets)
	}
	for _, field := range []*string{&o.Address, &o.Branch, &o.Progress, &o.From, &o.Error} {
		*field = strings.Join(strings.Fields(*field), " ") // one line
	}
	if !git.IsID(o.Revision) {
		o.Revision = ""
	}
	slaves := o.Slaves
	o.Slaves = nil
	for _, slave := range slaves {
		o.Slaves = append(o.Slaves, slave.Sanitize(secrets))
	}
	return o
}
