package protocol

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/units"
)

// Report is the answer to a POST or a DELETE: its outcome on this server and on those below it.
type Report struct {
	Name   string `json:"name,omitempty"`
	Origin string `json:"origin,omitempty"` // without credentials
	Status int    `json:"status"`           // the HTTP status
	Outcome
	Why string `json:"why,omitempty"` // where a client that has failed is told why

	Waited time.Duration `json:"-"` // how long the client has waited, if Status is 202
}

// Outcome is the outcome of a pull or a removal on one server. If Address is empty, it is the server
// that answers, else one of its slaves.
type Outcome struct {
	Address           string    `json:"address,omitempty"`
	ID                string    `json:"id,omitempty"` // of the server
	State             State     `json:"state"`
	Branch            string    `json:"branch,omitempty"`   // the default one, as a full ref name
	Revision          string    `json:"revision,omitempty"` // its commit
	Changed           int       `json:"refs_changed"`       // created, moved or deleted
	Removed           bool      `json:"removed,omitempty"`  // the mirror, by DELETE
	Absent            bool      `json:"absent,omitempty"`   // there was no mirror that DELETE could remove
	Seconds           float64   `json:"seconds"`
	From              string    `json:"from,omitempty"`     // the peer that it was pulled from; empty for the origin
	Progress          string    `json:"progress,omitempty"` // while State is processing
	Error             string    `json:"error,omitempty"`    // one line
	HierarchicalError string    `json:"hierarchical_error,omitempty"`
	Cut               string    `json:"cut,omitempty"` // why a part of its answer is left out
	Slaves            []Outcome `json:"slaves,omitempty"`

	// SomePulled says of a failed server that it has pulled all the same, or a server below it has.
	SomePulled bool `json:"some_pulled,omitempty"`
}

// State tells whether a pull has ended, and how.
type State string

const (
	Processing State = "processing"
	Success    State = "success"
	Failed     State = "failed"

	// Elsewhere is the state of a server that had received the request from another server
	// before. It reports the outcome to the server that has sent the request first.
	Elsewhere State = "elsewhere"
)

// Itself is the state of a slave that has turned out to be the very server which has passed the
// request on. It counts for nothing, and is not shown.
const Itself State = "itself"

const elsewhereWords = "it is at work on this request, which has come to it through another server"

// Repeated is the report of a server that has received the request before (208).
func Repeated(id string) *Report {
	return &Report{
		Status:  http.StatusAlreadyReported,
		Outcome: Outcome{ID: id, State: Elsewhere, Error: elsewhereWords},
	}
}

// pulled reports whether the server has pulled, or a server below it.
func (o *Outcome) pulled() bool {
	return o.State == Success || o.SomePulled || slices.ContainsFunc(o.Slaves, func(slave Outcome) bool { return slave.pulled() })
}

// Resolve replaces the state Elsewhere by the outcome that the server has reported to another one.
// It is called on the server where the request began, since all reports come together there. A
// server whose outcome is nowhere has failed, because it may not have pulled. Resolve changes only
// the direct slaves.
func (o *Outcome) Resolve() {
	known := make(map[string]*Outcome)
	o.collect(known)
	for i := range o.Slaves {
		slave := &o.Slaves[i]
		if slave.State == Elsewhere {
			if outcome := known[slave.ID]; outcome != nil {
				address := slave.Address
				*slave = *outcome
				slave.Address, slave.Slaves = address, nil
			} else {
				slave.fail("it says that " + elsewhereWords + ", and no server tells what became of it there")
			}
		} else if lost := slave.findLost(known); lost != nil && slave.State == Success {
			slave.SomePulled = true
			slave.fail("it has passed the request on to " + lost.Address + ", and no server tells what became of it there")
		}
	}
}

func (o *Outcome) fail(words string) { o.State, o.Error, o.HierarchicalError = Failed, words, words }

// collect maps the ids of servers to their outcomes. A server with two addresses may have two
// outcomes: then the failed one counts.
func (o *Outcome) collect(known map[string]*Outcome) {
	if before := known[o.ID]; o.ID != "" && o.State != Elsewhere && (before == nil || before.State == Success) {
		known[o.ID] = o
	}
	for i := range o.Slaves {
		o.Slaves[i].collect(known)
	}
}

// findLost returns a server below that has answered Elsewhere and has no known outcome, or nil.
func (o *Outcome) findLost(known map[string]*Outcome) *Outcome {
	for i := range o.Slaves {
		slave := &o.Slaves[i]
		if slave.State == Elsewhere && known[slave.ID] == nil {
			return slave
		}
		if lost := slave.findLost(known); lost != nil {
			return lost
		}
	}
	return nil
}

// Failure is the outcome of a request that ended with an error.
func Failure(err error) Outcome {
	return Outcome{
		State: Failed,
		Error: errtext.Line(err.Error()), HierarchicalError: errtext.Tree(err),
	}
}

// String renders the report for people, who read it below "remote:" in a git push: one line for each
// server on success, else the reasons as a tree.
func (r *Report) String() string {
	if r.Status == http.StatusOK {
		return r.table()
	}
	if r.Why == "" {
		return r.tree()
	}
	return r.tree() + "why: " + r.Why + "\n"
}

// tree renders a request that has failed, or is being worked on.
func (r *Report) tree() string {
	if r.Name == "" { // refused before anything was begun
		return r.reasons() + "\n"
	}
	top := r.Name
	if r.Origin != "" {
		top += " (" + r.Origin + ")"
	}
	if r.Status == http.StatusAccepted {
		top += ": not finished after " + units.FormatSeconds(r.Waited) + ", the work goes on"
	}
	var below []errtext.Branch
	if len(r.Slaves) == 0 {
		below = errtext.Branches(r.Outcome.reasons())
	} else {
		below = r.servers()
	}
	if r.Status == http.StatusAccepted {
		name := strings.ReplaceAll(r.Name, "+", "%2B") // a plus is a space in a query
		below = append(below, errtext.Branch{Text: "/x/status?name=" + name + " tells when it is done"})
	}
	return errtext.Branch{Text: top, Below: below}.String() + "\n"
}

// servers has a branch for each reason why servers have not succeeded, below the names of those that
// give it, and a last one with the names of those that have succeeded.
func (r *Report) servers() (below []errtext.Branch) {
	var succeeded, absent []string
	var failed causes
	done := "pulled"
	add := func(name string, o *Outcome) {
		bare := strings.TrimPrefix(name, "slave ")
		switch {
		case o.State != Success:
			failed.add(name, o)
			return
		case o.Absent:
			absent = append(absent, bare)
			return
		case o.Removed:
			done = "removed"
		}
		succeeded = append(succeeded, bare)
	}
	add("master", &r.Outcome)
	shown := r.direct()
	for i := range r.Slaves {
		slave := &r.Slaves[i]
		add("slave "+errtext.Clip(slave.Address, maxLabel), slave)
		failed.addBelow(slave, shown)
	}
	below = failed.branches()
	if len(succeeded) > 0 {
		below = append(below, errtext.Branch{Text: done + ": " + strings.Join(succeeded, ", ")})
	}
	if len(absent) > 0 {
		below = append(below, errtext.Branch{Text: "was not there: " + strings.Join(absent, ", ")})
	}
	return below
}

// causes are the reasons why servers have not succeeded, each once, in the order in which they were
// added.
type causes []*cause

// cause is a reason, and the servers that give it.
type cause struct {
	reason  errtext.Branch
	key     string // equal for equal reasons
	servers []string
}

// add adds the reasons of a server.
func (cs *causes) add(server string, o *Outcome) {
	reasons := errtext.Branches(o.reasons())
	if o.Cut != "" {
		reasons = append(reasons, errtext.Branch{Text: o.Cut})
	}
	for _, reason := range reasons {
		key := errtext.Reason(reason.Text)
		i := slices.IndexFunc(*cs, func(c *cause) bool { return c.key == key })
		if i < 0 {
			i = len(*cs)
			*cs = append(*cs, &cause{reason: reason, key: key})
		}
		one := (*cs)[i]
		one.servers = append(one.servers, server)
	}
}

// addBelow adds the reasons of the servers below a slave.
func (cs *causes) addBelow(o *Outcome, shown serverIDs) {
	for _, slave := range shown.below(o, 1) {
		if slave.State != Success {
			cs.add("slave "+errtext.Clip(slave.Address, maxLabel)+" of "+errtext.Clip(o.Address, maxLabel), slave)
		}
		cs.addBelow(slave, shown)
	}
}

// maxServersNamed is how many servers are named that give the same reason.
const maxServersNamed = 20

// branches puts the reasons below the servers that give them. Reasons of the same servers stand side
// by side.
func (cs causes) branches() (all []errtext.Branch) {
	for _, c := range cs {
		names := c.servers
		if n := len(names) - maxServersNamed; n > 0 {
			names = append(names[:maxServersNamed:maxServersNamed], fmt.Sprintf("and %d more", n))
		}
		who := strings.Join(names, ", ")
		if i := slices.IndexFunc(all, func(b errtext.Branch) bool { return b.Text == who }); i >= 0 {
			all[i].Below = append(all[i].Below, c.reason)
			continue
		}
		all = append(all, errtext.Branch{Text: who, Below: []errtext.Branch{c.reason}})
	}
	return all
}

// reasons says, as a tree, why a server has not succeeded.
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

// table has one line for each server: its revision, how many refs changed, and the time taken.
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

// maxLabel bounds a server's name in a row, in bytes: all rows are as wide as the widest one.
const maxLabel = 100

// direct has the ids of this server and of its slaves. They have places of their own, so they are
// not shown again below each other.
func (r *Report) direct() serverIDs {
	ids := serverIDs{r.ID: true}
	for i := range r.Slaves {
		ids[r.Slaves[i].ID] = true
	}
	return ids
}

// serverIDs are the ids of servers that have been shown.
type serverIDs map[string]bool

// below returns the slaves in an outcome that have not been shown, and adds their ids. At depth 0
// these are all slaves.
func (s serverIDs) below(o *Outcome, depth int) (all []*Outcome) {
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

// rows writes the row of an outcome, and those of its slaves below it. Each level after the first
// is indented.
func (o *Outcome) rows(w *tabwriter.Writer, depth int, label string, shown serverIDs) {
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
	for _, slave := range shown.below(o, depth) {
		slave.rows(w, depth+1, slave.Address, shown)
	}
}

func (o Outcome) shortRevision() string {
	switch {
	case o.Removed:
		return "removed"
	case o.Absent:
		return "was not here"
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
	case o.Removed, o.Absent:
		return ""
	case o.Changed == 0:
		return "unchanged"
	case o.Changed == 1:
		return "1 ref changed"
	default:
		return fmt.Sprintf("%d refs changed", o.Changed)
	}
}
