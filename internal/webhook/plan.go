package webhook

import (
	"errors"
	"iter"
	"strings"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
)

// Action is what a step does to a mirror.
type Action string

const (
	Pull Action = "pull" // ask its origin
	Move Action = "move" // let it follow a new origin, and ask that
	Make Action = "make" // make it
	Mark Action = "mark" // write down that its origin was deleted
)

// Step is what becomes of one mirror.
type Step struct {
	Action Action
	Name   storage.Name
	Origin origin.URL // to ask
	Before origin.URL // to ask until now; not Known where Origin is no other one
	Own    bool       // the mirror stays this server's own
}

// ErrNoMirror is why an event leads to nothing.
var ErrNoMirror = errors.New("no mirror here follows this repository")

// Plan decides what an event does to the mirrors. Letter case in paths counts only where it tells two
// repositories apart. name finds a name for a repository that has no mirror; nil if it gets none. The error
// is ErrNoMirror, or an *Error that says why a mirror cannot follow a renamed repository.
func (e Event) Plan(mirrors iter.Seq[mirror.Followed], name Namer) (steps []Step, err error) {
	if e.Effect < Changed {
		return nil, nil
	}
	here, former := e.match(mirrors)
	action := Pull
	if e.Effect == Deleted {
		action = Mark
	}
	for _, m := range here {
		step := Step{Action: action, Name: m.Name, Origin: m.Latest(), Own: m.Own}
		if m.Next.Known() { // if the move to it fails, this one tries again
			step.Before = m.Origin
		}
		steps = append(steps, step)
	}
	for _, m := range former {
		now, err := m.Latest().Renamed(m.from.Path, m.to.Path)
		if err != nil {
			return nil, fail(Unmovable, "the mirror %s cannot follow the repository from %s: %w", m.Name, m.Latest(), err)
		}
		steps = append(steps, Step{Action: Move, Name: m.Name, Origin: now, Before: m.Latest(), Own: m.Own})
	}
	if len(steps) > 0 {
		return steps, nil
	}
	if name != nil && e.Effect != Deleted {
		for _, place := range e.At {
			if n, from, ok := name(place); ok {
				return []Step{{Action: Make, Name: n, Origin: from}}, nil
			}
		}
	}
	return nil, ErrNoMirror
}

// renamed is a mirror whose repository was renamed.
type renamed struct {
	mirror.Followed
	from, to origin.Place
}

// match finds the mirrors of the event's repository where it is now, and where it was.
func (e Event) match(mirrors iter.Seq[mirror.Followed]) (here []mirror.Followed, former []renamed) {
	var hereFolded []mirror.Followed
	var formerFolded []renamed
	for m := range mirrors {
		at := m.Latest().Place()
		if at == (origin.Place{}) {
			continue
		}
		i, exact := find(e.At, at)
		j, exactly := find(e.Formers, at)
		switch {
		case exact:
			here = append(here, m)
		case exactly:
			former = append(former, renamed{m, e.Formers[j], e.At[j]})
		case i >= 0:
			hereFolded = append(hereFolded, m)
		case j >= 0:
			formerFolded = append(formerFolded, renamed{m, e.Formers[j], e.At[j]})
		}
	}
	if len(here)+len(former) == 0 {
		return hereFolded, formerFolded
	}
	return here, former
}

// find returns the index of a place among others; -1 if it is not there. exact is false if only letter
// case in its path is another.
func find(places []origin.Place, at origin.Place) (i int, exact bool) {
	folded := -1
	for i, p := range places {
		if p == at {
			return i, true
		}
		if folded < 0 && len(p.Path) == len(at.Path) && p.Host == at.Host && strings.EqualFold(p.Path, at.Path) {
			folded = i
		}
	}
	return folded, false
}
