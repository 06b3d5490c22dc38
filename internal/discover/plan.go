package discover

import (
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
)

// Known is what is remembered of a repository from one round to the next.
type Known struct {
	Path    string `json:"path"`
	Name    string `json:"name"` // of its mirror; it stays when the repository is renamed
	Origin  string `json:"origin"`
	Made    bool   `json:"made,omitempty"`    // its mirror has been here
	Missing int    `json:"missing,omitempty"` // in how many listings in a row it was not
	Gone    bool   `json:"gone,omitempty"`    // its mirror was marked as one whose origin is gone
}

// origin parses the origin. It was allowed when it was written down.
func (k Known) origin() origin.URL {
	o, _ := origin.Parse(k.Origin, true)
	return o
}

// goneAfter is in how many listings in a row a repository has to be missing. A list that changes while
// it is read page by page can lack one that is there.
const goneAfter = 2

// Verb is what an order does.
type Verb string

// The verbs.
const (
	Create Verb = "create" // make a mirror, or make one everybody's that is this server's alone
	Move   Verb = "move"   // let a mirror follow its repository to another URL
	Return Verb = "return" // pull the mirror of a repository that was gone and is there again
)

// Order is something that a POST would have done.
type Order struct {
	Verb   Verb
	ID     string // of the repository
	Name   storage.Name
	Origin origin.URL
	From   origin.URL // what a Move moves from; not Known else
}

// Here is what this server has under a name.
type Here struct {
	Exists     bool
	Unreadable bool // it may be there or not
	Removed    bool // there is none, because somebody has removed it
	OnDemand   bool // a read has made it
	Gone       bool // it is marked as one whose origin is gone, whoever has said so
	Origin     origin.URL
}

// Plan is what to do after a listing.
type Plan struct {
	Known    map[string]Known // by id; of what no order or mark has yet been carried out
	Orders   []Order
	Vanished []string // ids of repositories whose mirrors are to be marked as gone
	LeftOut  tally
}

// plan decides what to do. known is what is remembered, by the forge's ids; listed are the ids of all that
// the forge has listed, and chosen is what is wanted of that.
func plan(known map[string]Known, listed map[string]bool, chosen []Candidate, here func(storage.Name) Here) Plan {
	p := Plan{Known: make(map[string]Known, len(chosen)), LeftOut: make(tally)}
	names := make(map[storage.Name]bool, len(chosen))
	for id, k := range known { // a name belongs to who has it
		if name, err := storage.ParseName(k.Name); err == nil && k.Made && listed[id] {
			names[name] = true
		}
	}
	for _, c := range chosen {
		p.judge(c, known[c.ID], names, here)
	}
	for id, k := range known {
		if _, done := p.Known[id]; !done && k.Made {
			p.judgeRest(id, k, listed[id], here)
		}
	}
	return p
}

// judge decides about a repository that is wanted. k is what is known of it, or zero.
func (p *Plan) judge(c Candidate, k Known, names map[storage.Name]bool, here func(storage.Name) Here) {
	name := c.Name
	if k.Made {
		if parsed, err := storage.ParseName(k.Name); err == nil {
			name = parsed
		}
	} else if names[name] {
		p.LeftOut.add(Taken, c.Path)
		return
	}
	names[name] = true
	next := Known{Path: c.Path, Name: name.String(), Origin: c.Origin.String(), Made: true}
	order := Order{ID: c.ID, Name: name, Origin: c.Origin}
	h := here(name)
	next.Gone = h.Gone
	switch {
	case h.Unreadable:
		p.LeftOut.add(Unreadable, c.Path)
		next.Made, next.Origin, next.Gone = k.Made, k.Origin, k.Gone
	case !h.Exists && (k.Made || h.Removed):
		p.LeftOut.add(Removed, c.Path)
	case !h.Exists:
		next.Made, order.Verb = false, Create
	case h.OnDemand && h.Origin.Place() == c.Origin.Place(): // however the table of [[ondemand]] spells it
		order.Verb = Create
	case h.Origin.Same(c.Origin) && h.Gone:
		order.Verb = Return
	case h.Origin.Same(c.Origin):
	case k.Made && h.Origin.Same(k.origin()):
		order.Verb, order.From = Move, h.Origin
		next.Origin = k.Origin
	default:
		p.LeftOut.add(Taken, c.Path)
		return
	}
	p.Known[c.ID] = next
	if order.Verb != "" {
		p.Orders = append(p.Orders, order)
	}
}

// judgeRest decides about a known repository that is not wanted now. Its mirror stays.
func (p *Plan) judgeRest(id string, k Known, listed bool, here func(storage.Name) Here) {
	name, err := storage.ParseName(k.Name)
	if err != nil {
		return
	}
	h := here(name)
	switch {
	case listed:
		k.Missing = 0
	case h.Unreadable:
	case !h.Exists || !h.Origin.Same(k.origin()): // it is somebody else's now
		return
	default:
		k.Missing = min(k.Missing+1, goneAfter)
		if k.Missing == goneAfter && !k.Gone {
			p.Vanished = append(p.Vanished, id)
		}
	}
	p.Known[id] = k
}

// done records that an order was carried out.
func (p *Plan) done(o Order) {
	k := p.Known[o.ID]
	k.Made, k.Gone, k.Origin = true, false, o.Origin.String()
	p.Known[o.ID] = k
}
