package protocol

import (
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/units"
)

// report is the answer to a POST: what became of it on this server and on those
// below it.
type Report struct {
	Name   string `json:"name,omitempty"`
	Origin string `json:"origin,omitempty"` // without credentials
	Status int    `json:"status"`           // the HTTP status
	Outcome

	Waited time.Duration `json:"-"` // how long the client was made to wait, when Status is 202
}

// Outcome is what became of a pull on one server. The server is the one that
// answers if Address is empty, and one of its slaves otherwise.
type Outcome struct {
	Address           string    `json:"address,omitempty"`
	State             State     `json:"state"`
	Branch            string    `json:"branch,omitempty"`   // the default one, as a full ref name
	Revision          string    `json:"revision,omitempty"` // its commit
	Changed           int       `json:"refs_changed"`       // created, moved or deleted
	Removed           bool      `json:"removed,omitempty"`  // the mirror, by DELETE
	Seconds           float64   `json:"seconds"`
	From              string    `json:"from,omitempty"`     // the peer that it was pulled from; empty for the origin
	Progress          string    `json:"progress,omitempty"` // while State is processing
	Error             string    `json:"error,omitempty"`    // in a line
	HierarchicalError string    `json:"hierarchical_error,omitempty"`
	Slaves            []Outcome `json:"slaves,omitempty"`
}

// State is whether a pull is over, and how it ended.
type State string

const (
	Processing State = "processing"
	Success    State = "success"
	Failed     State = "failed"
)

// Failure is the outcome of work that ended with an error.
func Failure(err error) Outcome {
	return Outcome{
		State: Failed,
		Error: errtext.Clean(strings.Join(strings.Fields(err.Error()), " ")), HierarchicalError: errtext.Tree(err),
	}
}

// String is the report for people, who read it below "remote:" in a git push: a
// line a server if all is well, else the reasons as a tree.
func (r *Report) String() string {
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
		top += ": not finished after " + units.FormatSeconds(r.Waited) + ", the work goes on"
	}
	var below []string
	if len(r.Slaves) == 0 {
		below = append(below, r.Outcome.reasons())
	} else {
		var fine []string
		done := "pulled"
		for i, o := range append([]Outcome{r.Outcome}, r.Slaves...) {
			label := "slave " + o.Address
			if i == 0 {
				label = "master"
			}
			if o.State == Success {
				if o.Removed {
					done = "removed"
				}
				fine = append(fine, strings.TrimPrefix(label, "slave "))
				continue
			}
			below = append(below, errtext.Branches(label, o.reasons()))
		}
		if len(fine) > 0 {
			below = append(below, done+": "+strings.Join(fine, ", "))
		}
	}
	if r.Status == http.StatusAccepted {
		name := strings.ReplaceAll(r.Name, "+", "%2B") // which is a space in a query
		below = append(below, "/x/status?name="+name+" tells when it is done")
	}
	return errtext.Branches(top, below...) + "\n"
}

// reasons is why an outcome is no success, as a tree.
func (o Outcome) reasons() string {
	switch {
	case o.State == Success:
		return "pulled"
	case o.State == Processing && o.Progress == "":
		return "no answer yet"
	case o.State == Processing:
		return o.Progress
	case o.HierarchicalError != "":
		return o.HierarchicalError
	default:
		return o.Error
	}
}

// table is a line a server: its revision, how many refs changed, the time taken.
func (r *Report) table() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	label := r.Name
	if len(r.Slaves) > 0 {
		label = "master"
	}
	r.Outcome.rows(w, "", "", label)
	w.Flush()
	return b.String()
}

// rows writes an Outcome, indented, and those of its slaves below it.
func (o Outcome) rows(w *tabwriter.Writer, indent, slaveIndent, label string) {
	took := time.Duration(o.Seconds * float64(time.Second))
	from := ""
	if o.From != "" {
		from = "\tfrom " + o.From
	}
	fmt.Fprintf(w, "%s%s\t%s\t%s\t%s%s\n", indent, label, o.shortRevision(), o.changes(), units.FormatSeconds(took), from)
	for _, slave := range o.Slaves {
		slave.rows(w, slaveIndent, slaveIndent+"  ", slave.Address)
	}
}

func (o Outcome) shortRevision() string {
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

func (o Outcome) changes() string {
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
