package protocol

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/units"
)

// Report is the answer to a POST: what became of it on this server and on those
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
	ID                string    `json:"id,omitempty"` // of the server
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
	Cut               string    `json:"cut,omitempty"` // why part of what it has told is not here
	Slaves            []Outcome `json:"slaves,omitempty"`

	// SomePulled is, of a server that has failed, whether it has pulled all the same, or one
	// below it.
	SomePulled bool `json:"some_pulled,omitempty"`
}

// State is whether a pull is over, and how it ended.
type State string

const (
	Processing State = "processing"
	Success    State = "success"
	Failed     State = "failed"

	// Elsewhere is the state of a server to which the request had come by another way. What
	// becomes of it there the server tells whoever has sent it first.
	Elsewhere State = "elsewhere"
)

const elsewhereWords = "it is at work on this request, which has come to it through another server"

// Repeated is the report of a server to which the request has come by another way.
func Repeated(id string) *Report {
	return &Report{
		Status:  http.StatusAlreadyReported,
		Outcome: Outcome{ID: id, State: Elsewhere, Error: elsewhereWords},
	}
}

// pulled reports whether the server has, or one below it.
func (o *Outcome) pulled() bool {
	return o.State == Success || o.SomePulled || slices.ContainsFunc(o.Slaves, func(slave Outcome) bool { return slave.pulled() })
}

// Resolve finds what became of the servers that have answered Elsewhere, where the request
// began: there all reports come together. A server of which none of them tells has failed:
// nobody knows that it has pulled. Only the direct slaves are changed.
func (o *Outcome) Resolve() {
	known := make(map[string]*Outcome)
	o.collect(known)
	for i := range o.Slaves {
		slave := &o.Slaves[i]
		if slave.State == Elsewhere {
			if told := known[slave.ID]; told != nil {
				address := slave.Address
				*slave = *told
				slave.Address, slave.Slaves = address, nil
			} else {
				slave.fail("it says that " + elsewhereWords + ", and no server tells what became of it there")
			}
		} else if lost := slave.untold(known); lost != nil && slave.State == Success {
			slave.SomePulled = true
			slave.fail("it has passed the request on to " + lost.Address + ", and no server tells what became of it there")
		}
	}
}

func (o *Outcome) fail(words string) { o.State, o.Error, o.HierarchicalError = Failed, words, words }

// collect notes the outcomes by the ids of their servers. Of two for one server, which two
// addresses may have, the failed one counts.
func (o *Outcome) collect(known map[string]*Outcome) {
	if before := known[o.ID]; o.ID != "" && o.State != Elsewhere && (before == nil || before.State == Success) {
		known[o.ID] = o
	}
	for i := range o.Slaves {
		o.Slaves[i].collect(known)
	}
}

// untold finds a server below that has answered Elsewhere and is not known.
func (o *Outcome) untold(known map[string]*Outcome) *Outcome {
	for i := range o.Slaves {
		slave := &o.Slaves[i]
		if slave.State == Elsewhere && known[slave.ID] == nil {
			return slave
		}
		if lost := slave.untold(known); lost != nil {
			return lost
		}
	}
	return nil
}

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
	var below []branch
	if len(r.Slaves) == 0 {
		below = append(below, branch{text: r.Outcome.reasons()})
	} else {
		below = r.servers()
	}
	if r.Status == http.StatusAccepted {
		name := strings.ReplaceAll(r.Name, "+", "%2B") // which is a space in a query
		below = append(below, branch{text: "/x/status?name=" + name + " tells when it is done"})
	}
	var b strings.Builder
	b.WriteString(top + "\n")
	writeBranches(&b, "", below)
	return b.String()
}

// servers are the reasons of this server and of its slaves, and in the end those that are fine.
func (r *Report) servers() (below []branch) {
	var fine []string
	done := "pulled"
	note := func(name string, one branch, o *Outcome) {
		if o.State == Success {
			if o.Removed {
				done = "removed"
			}
			fine = append(fine, name)
			return
		}
		below = append(below, one)
	}
	note("master", branch{text: "master", below: []branch{{text: r.Outcome.reasons()}}}, &r.Outcome)
	seen := r.direct()
	for i := range r.Slaves {
		slave := &r.Slaves[i]
		note(slave.Address, slave.branch(seen), slave)
	}
	if len(fine) > 0 {
		below = append(below, branch{text: done + ": " + strings.Join(fine, ", ")})
	}
	return below
}

// branch is why a slave has not pulled, and which of those below it have not.
func (o *Outcome) branch(seen shown) branch {
	all := branch{text: "slave " + o.Address, below: []branch{{text: o.reasons()}}}
	if o.Cut != "" {
		all.below = append(all.below, branch{text: o.Cut})
	}
	for _, slave := range seen.below(o, 1) {
		if slave.State != Success {
			all.below = append(all.below, slave.branch(seen))
		}
	}
	return all
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
	case o.State == Elsewhere:
		return elsewhereWords
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
	r.Outcome.rows(w, 0, label, r.direct())
	w.Flush()
	return b.String()
}

// maxLabel bounds what a row calls a server, in bytes: all rows are as wide as the widest.
const maxLabel = 100

// direct are the ids of this server and of its slaves. What one of them tells of another is not
// shown: that has a place of its own.
func (r *Report) direct() shown {
	ids := shown{r.ID: true}
	for i := range r.Slaves {
		ids[r.Slaves[i].ID] = true
	}
	return ids
}

// shown are the ids of servers that have been shown.
type shown map[string]bool

// below are the servers below one that are still to be shown, each once.
func (s shown) below(o *Outcome, depth int) (all []*Outcome) {
	for i := range o.Slaves {
		slave := &o.Slaves[i]
		if slave.State == Elsewhere || depth > 0 && slave.ID != "" && s[slave.ID] {
			continue
		}
		s[slave.ID] = true
		all = append(all, slave)
	}
	return all
}

// rows writes an Outcome, and those of its slaves below it, each level but the first indented.
func (o *Outcome) rows(w *tabwriter.Writer, depth int, label string, done shown) {
	took := time.Duration(o.Seconds * float64(time.Second))
	from := ""
	if o.From != "" {
		from = "\tfrom " + errtext.Clip(o.From, maxLabel)
	}
	indent := strings.Repeat("  ", max(depth-1, 0))
	fmt.Fprintf(w, "%s%s\t%s\t%s\t%s%s\n",
		indent, errtext.Clip(label, maxLabel), o.shortRevision(), o.changes(), units.FormatSeconds(took), from)
	if o.Cut != "" {
		fmt.Fprintf(w, "%s  (%s)\n", indent, errtext.Clip(o.Cut, 2*maxLabel))
	}
	for _, slave := range done.below(o, depth) {
		slave.rows(w, depth+1, slave.Address, done)
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
