package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
)

// viaHeader names the servers that a request has come through, so that one that
// comes round in a circle is recognised.
const viaHeader = "Sould-Via"

// peerHeader is in a request that a server makes for itself. Who is asked so looks at
// its origin at most: it neither asks others in turn nor passes the request on. In a
// clone it says that there need be no pull before.
const peerHeader = "Sould-Peer"

// maxVia is how many servers a request may have come through.
const maxVia = 16

// parseVia reads the header: ids of servers.
func parseVia(value string) ([]string, error) {
	var ids []string
	for id := range strings.SplitSeq(value, ",") {
		if id = strings.TrimSpace(id); id == "" {
			continue
		}
		if len(id) > 64 || len(ids) == maxVia {
			return nil, fmt.Errorf("%s names too many servers, or none", viaHeader)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// propagate passes a request on to one slave and returns what became of it there.
// A slave is asked to answer a little before the time is over, so that one that
// is busy can say so.
func propagate(
	ctx context.Context, set *settings, slave Address, req pullRequest, via []string, timeout time.Duration,
) outcome {
	began := time.Now()
	o, err := askSlave(ctx, set, slave, req, timeout, header{viaHeader, strings.Join(via, ", ")}, askedAs(req.Wanted))
	if err != nil { // which may repeat what the slave said
		o = failed(err).passOn(req.secrets(set))
	}
	o.Address, o.Seconds = slave.String(), time.Since(began).Seconds()
	return o
}

// secrets are the words of a request that its answer must not bring back.
func (r pullRequest) secrets(set *settings) []string {
	return append(set.accessPolicy().Secrets(), r.Origin.Remote().Secrets()...)
}

// errStillAtWork is why a server has not answered yet whether it could pull.
var errStillAtWork = errors.New("it is still at work")

// askSlave has another server pull.
func askSlave(
	ctx context.Context, set *settings, slave Address, req pullRequest, timeout time.Duration, asking ...header,
) (outcome, error) {
	body := strings.NewReader(req.form(timeout * 9 / 10).Encode())
	r, err := http.NewRequest(http.MethodPost, slave.url+"/", body)
	if err != nil {
		return outcome{}, err
	}
	r.Header.Set("Content-Type", formType)
	dress(r, asking...)
	return set.exchange(ctx, r, timeout, req.secrets(set))
}

// readAnswer reads what a slave has to say. An older sould knows neither JSON nor
// 202; any server that answers 200 or 500 will do.
func readAnswer(answer *http.Response, text []byte, secrets []string) (outcome, error) {
	var its report
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	isReport := kind == "application/json" && json.Unmarshal(text, &its) == nil && its.State != ""
	o := its.outcome
	if !isReport {
		o = outcome{HierarchicalError: string(text)}
	}
	o = o.passOn(secrets)
	says := errtext.Sanitize(answer.Status, secrets)
	switch {
	case answer.StatusCode == http.StatusOK:
		o.State, o.Error, o.HierarchicalError = stateSuccess, "", ""
		return o, nil
	case answer.StatusCode == http.StatusAccepted:
		return outcome{}, fmt.Errorf("%w (%s), and goes on", errStillAtWork, stillDoing(o.Progress))
	case answer.StatusCode/100 == 3:
		return outcome{}, fmt.Errorf("it answered with a redirect (%s), which is not followed", says)
	case !isReport || o.HierarchicalError == "":
		o.HierarchicalError = strings.TrimRight(errtext.Branches(says, o.HierarchicalError), "\n └─")
	}
	if o.Error == "" {
		o.Error = says
	}
	o.State = stateFailed
	return o, nil
}

func stillDoing(progress string) string {
	if progress == "" {
		return "it does not say at what"
	}
	return progress
}

// passOn makes a slave's outcome, and those of its own slaves, fit to be shown.
func (o outcome) passOn(secrets []string) outcome {
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
		o.Slaves = append(o.Slaves, slave.passOn(secrets))
	}
	return o
}

// form is the request as the fields of a POST that is to be answered within wait.
func (r pullRequest) form(wait time.Duration) url.Values {
	form := url.Values{
		"name":   {r.Name.String()},
		"origin": {r.Origin.WithCredentials()},
		"wait":   {strconv.FormatInt(wait.Milliseconds(), 10)},
	}
	if r.Accept != "" {
		form.Set("accept", string(r.Accept))
	}
	if r.Move.Known() {
		form.Set("move", r.Move.String())
	}
	return form
}
