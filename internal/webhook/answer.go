package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/reconquest/sould/internal/errtext"
)

// Answer is what a forge is told of a delivery. It shows that to its users.
type Answer struct {
	Status     int    `json:"-"` // of HTTP
	Delivery   string `json:"delivery,omitempty"`
	Event      string `json:"event"`
	Repository string `json:"repository,omitempty"`
	Mirrors    []Took `json:"mirrors"`
	Unsigned   bool   `json:"unsigned,omitempty"` // so that the secret is not known to be right
}

// Took is what became of a step.
type Took struct {
	Name   string `json:"name"` // of the mirror
	Action Action `json:"action"`
	Origin string `json:"origin"`          // that it follows now
	Error  string `json:"error,omitempty"` // why the step could not begin, one line
}

// newAnswer is the answer to a delivery of which no step has been taken.
func newAnswer(d Delivery) Answer {
	a := Answer{Status: http.StatusAccepted, Delivery: d.ID, Event: d.Name, Repository: d.Repository, Mirrors: []Took{}, Unsigned: d.Unsigned}
	if d.Effect == Ping {
		a.Status = http.StatusOK
	}
	return a
}

// add adds a step that was begun or, with an error, was not.
func (a *Answer) add(s Step, err error) {
	took := Took{Name: s.Name.String(), Action: s.Action, Origin: s.Origin.String()}
	if err != nil {
		took.Error = errtext.Line(err.Error())
	}
	a.Mirrors = append(a.Mirrors, took)
}

// begun tells in one line what has begun; empty for nothing.
func (a *Answer) begun() string {
	var all []string
	for _, took := range a.Mirrors {
		if took.Error == "" {
			all = append(all, string(took.Action)+" "+took.Name)
		}
	}
	return strings.Join(all, ", ")
}

// words are what an action means for a mirror of an origin.
var words = map[Action]string{
	Move: "follows %s from now on, and a pull has begun",
	Make: "is being made from %s", Mark: "is kept; the origin %s was deleted",
}

// String is the answer as text.
func (a *Answer) String() string {
	text := a.Event
	if a.Repository != "" {
		text += " of " + a.Repository
	}
	switch {
	case a.Unsigned:
		text += ": deliveries arrive; this one is not signed, so that nobody knows whether the secret is right"
	case a.Status == http.StatusOK:
		text += ": deliveries arrive, and are signed as they must be"
	case len(a.Mirrors) == 0:
		text += ": there is nothing to do"
	}
	text += "\n"
	for _, took := range a.Mirrors {
		switch {
		case took.Error != "":
			text += took.Name + ": " + took.Error + "\n"
		case took.Action == Pull:
			text += took.Name + ": a pull has begun\n"
		default:
			text += took.Name + ": " + fmt.Sprintf(words[took.Action], took.Origin) + "\n"
		}
	}
	return text
}

// resultOf is what becomes of a delivery with an error.
func resultOf(err error) Result {
	var refused *Error
	switch {
	case errors.As(err, &refused) && refused.Kind == Unsigned:
		return Refused
	case errors.As(err, &refused) && refused.Kind == Unmovable:
		return Failed
	case errors.As(err, &refused):
		return Unusable
	case errors.Is(err, ErrNoMirror):
		return Unknown
	default:
		return Failed
	}
}

// refuse adds to why a delivery leads to nothing what somebody can do about it.
func (h Hook) refuse(d Delivery, err error) error {
	repository := errtext.Clip(d.Repository, maxShown)
	switch {
	case !errors.Is(err, ErrNoMirror):
		return err
	case d.Effect == Deleted:
		return fmt.Errorf("%w: %s", err, repository)
	case h.Create:
		return fmt.Errorf("%w, and no [[ondemand]] prefix is for it: %s", err, repository)
	default:
		return fmt.Errorf("%w: %s; POST a mirror of it, or set create = true for the hook %s", err, repository, h.Name)
	}
}

// maxShown bounds a URL in an answer or in the log, in bytes.
const maxShown = 300
