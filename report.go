package main

import (
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/reconquest/sould/internal/git"
)

// report is the answer to a POST: what became of it on this server and on those
// below it.
type report struct {
	Name   string `json:"name,omitempty"`
	Origin string `json:"origin,omitempty"` // without credentials
	Status int    `json:"status"`           // the HTTP status
	outcome

	waited time.Duration // how long the client was made to wait, when Status is 202
}

// outcome is what became of a pull on one server. The server is the one that
// answers if Address is empty, and one of its slaves otherwise.
type outcome struct {
	Address           string    `json:"address,omitempty"`
	State             pullState `json:"state"`
	Branch            string    `json:"branch,omitempty"`   // the default one, as a full ref name
	Revision          string    `json:"revision,omitempty"` // its commit
	Changed           int       `json:"refs_changed"`       // created, moved or deleted
	Removed           bool      `json:"removed,omitempty"`  // the mirror, by DELETE
	Seconds           float64   `json:"seconds"`
	From              string    `json:"from,omitempty"`     // the peer that it was pulled from; empty for the origin
	Progress          string    `json:"progress,omitempty"` // while State is processing
	Error             string    `json:"error,omitempty"`    // in a line
	HierarchicalError string    `json:"hierarchical_error,omitempty"`
	Slaves            []outcome `json:"slaves,omitempty"`
}

// pullState is whether a pull is over, and how it ended.
type pullState string

const (
	stateProcessing pullState = "processing"
	stateSuccess    pullState = "success"
	stateFailed     pullState = "failed"
)

// succeeded is the outcome of a pull of this server.
func succeeded(p Pulled) outcome {
	return outcome{
		State: stateSuccess, Branch: p.Snapshot.Head.Ref, Revision: p.Snapshot.Head.ID,
		Changed: p.Changed, From: p.Snapshot.From,
	}
}

// failed is the outcome of a pull that ended with an error.
func failed(err error) outcome {
	return outcome{
		State: stateFailed,
		Error: clean(strings.Join(strings.Fields(err.Error()), " ")), HierarchicalError: tree(err),
	}
}

// ended is the outcome of a pull, which may have failed and changed something all the same.
func ended(p Pulled, err error) outcome {
	if err == nil {
		return succeeded(p)
	}
	o := failed(err)
	if p.Snapshot != nil {
		o.Branch, o.Revision, o.Changed, o.From = p.Snapshot.Head.Ref, p.Snapshot.Head.ID, p.Changed, p.Snapshot.From
	}
	return o
}

// verdict is the HTTP status for what became of a pull on a server and its
// slaves, by the contract's table.
func verdict(local outcome, slaves []outcome) int {
	var pulled, failed int
	for _, o := range slaves {
		switch o.State {
		case stateSuccess:
			pulled++
		case stateFailed:
			failed++
		}
	}
	processing := len(slaves) - pulled - failed
	switch {
	case local.State == stateProcessing || processing > 0:
		return http.StatusAccepted
	case local.State == stateSuccess && failed == 0:
		return http.StatusOK
	case failed == 0: // it could not, and its slaves, if it has any, could
		return http.StatusInternalServerError
	case local.State == stateSuccess || pulled > 0:
		return http.StatusBadGateway
	default:
		return http.StatusServiceUnavailable
	}
}

// String is the report for people, who read it below "remote:" in a git push: a
// line a server if all is well, else the reasons as a tree.
func (r *report) String() string {
	if r.Status == http.StatusOK {
		return r.table()
	}
	if r.Name == "" { // refused before anything was begun
		return r.reasons() + "\n"
	}
	top := r.Name
	if r.Origin != "" {
		top += " (" + git.Printable(r.Origin) + ")"
	}
	if r.Status == http.StatusAccepted {
		top += ": not finished after " + seconds(r.waited) + ", the work goes on"
	}
	var below []string
	if len(r.Slaves) == 0 {
		below = append(below, r.outcome.reasons())
	} else {
		var fine []string
		done := "pulled"
		for i, o := range append([]outcome{r.outcome}, r.Slaves...) {
			label := "slave " + o.Address
			if i == 0 {
				label = "master"
			}
			if o.State == stateSuccess {
				if o.Removed {
					done = "removed"
				}
				fine = append(fine, strings.TrimPrefix(label, "slave "))
				continue
			}
			below = append(below, branches(label, o.reasons()).Error())
		}
		if len(fine) > 0 {
			below = append(below, done+": "+strings.Join(fine, ", "))
		}
	}
	if r.Status == http.StatusAccepted {
		name := strings.ReplaceAll(r.Name, "+", "%2B") // which is a space in a query
		below = append(below, "/x/status?name="+name+" tells when it is done")
	}
	return branches(top, below...).Error() + "\n"
}

// reasons is why an outcome is no success, as a tree.
func (o outcome) reasons() string {
	switch {
	case o.State == stateSuccess:
		return "pulled"
	case o.State == stateProcessing && o.Progress == "":
		return "no answer yet"
	case o.State == stateProcessing:
		return o.Progress
	case o.HierarchicalError != "":
		return o.HierarchicalError
	default:
		return o.Error
	}
}

// table is a line a server: its revision, how many refs changed, the time taken.
func (r *report) table() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	label := r.Name
	if len(r.Slaves) > 0 {
		label = "master"
	}
	r.outcome.rows(w, "", "", label)
	w.Flush()
	return b.String()
}

// rows writes an outcome, indented, and those of its slaves below it.
func (o outcome) rows(w *tabwriter.Writer, indent, slaveIndent, label string) {
	took := time.Duration(o.Seconds * float64(time.Second))
	from := ""
	if o.From != "" {
		from = "\tfrom " + o.From
	}
	fmt.Fprintf(w, "%s%s\t%s\t%s\t%s%s\n", indent, label, o.shortRevision(), o.changes(), seconds(took), from)
	for _, slave := range o.Slaves {
		slave.rows(w, slaveIndent, slaveIndent+"  ", slave.Address)
	}
}

func (o outcome) shortRevision() string {
	switch {
	case o.Removed:
		return "removed"
	case len(o.Revision) >= 12:
		return o.Revision[:12]
	case o.Branch != "" || o.Address == "":
		return "empty"
	default: // an older sould does not say
		return "pulled"
	}
}

func (o outcome) changes() string {
	switch {
	case o.Removed:
		return ""
	case o.Changed == 0:
		return "unchanged"
	case o.Changed == 1:
		return "1 ref changed"
	default:
		return fmt.Sprintf("%d refs changed", o.Changed)
	}
}
