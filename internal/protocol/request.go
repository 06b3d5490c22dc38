package protocol

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/units"
)

// Headers of requests between servers.
const (
	// PeerHeader marks a request of a server that needs content for its own mirror. The receiver
	// contacts no server but the origin: it neither asks other servers nor passes the request on.
	// Before a clone, it does not even pull.
	PeerHeader = "Sould-Peer"

	// InstanceHeader, with the value AskInstance, marks a request of a server that may have reached
	// itself: every answer to it has the same header, with a value that only this process knows.
	InstanceHeader = "Sould-Instance"

	// askedHeader says when somebody asked for a request that a server passes on, as RFC 3339 with
	// nanoseconds.
	askedHeader = "Sould-Asked"
)

// AskInstance is the value of InstanceHeader in a request.
const AskInstance = "?"

// FormType is the content type of a POST's body.
const FormType = "application/x-www-form-urlencoded"

// lastIntent is the end of the times that are accepted. A request must be later than the intents
// that it replaces, and its time is stored as nanoseconds, which end in 2262.
var lastIntent = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

// isPlausible reports whether somebody can have asked for something at that time.
func isPlausible(at time.Time) bool { return at.Unix() >= 0 && at.Before(lastIntent) }

// AskedAt returns the time of a request: now for one of a client, and the time in its header for one
// that another server has passed on.
func AskedAt(h http.Header, trace Trace, now time.Time) (time.Time, error) {
	text := h.Get(askedHeader)
	if text == "" || trace.FromClient() {
		return now, nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || !isPlausible(at) {
		return at, fmt.Errorf("the header %s is not a time", askedHeader)
	}
	return at, nil
}

// SetAsked sets askedHeader, unless the time is zero: then nobody has asked.
func SetAsked(h http.Header, at time.Time) {
	if !at.IsZero() {
		h.Set(askedHeader, at.UTC().Format(time.RFC3339Nano))
	}
}

// Pull is the form of a POST, which says that a repository has changed.
type Pull struct {
	Name   storage.Name
	Origin origin.URL
	Move   origin.URL // another origin that the mirror may have until now; not Known for none
	Accept refs.Acceptance
	Wait   time.Duration // how long the client waits for an answer; NoWait for no limit

	Progress bool // the client wants to be told how far the work is, line by line
}

// NoWait is the Wait of a request without a limit.
const NoWait = time.Duration(-1)

// ParsePull reads a form. The error says what is wrong with a field.
func ParsePull(form url.Values, allowLocal bool) (p Pull, err error) {
	fields := make(map[string]string)
	for _, name := range []string{"name", "origin", "move", "accept", "wait", "progress"} {
		values := form[name]
		if len(values) > 1 {
			return p, fmt.Errorf("the field %s is given %d times", name, len(values))
		}
		fields[name] = form.Get(name)
	}
	if p.Name, err = storage.ParseName(fields["name"]); err != nil {
		return p, err
	}
	if p.Origin, err = origin.Parse(fields["origin"], allowLocal); err != nil {
		return p, err
	}
	if move := fields["move"]; move != "" {
		if p.Move, err = origin.Parse(move, true); err != nil {
			return p, fmt.Errorf("move: %w", err)
		}
		p.Move = p.Move.As("", "")
	}
	p.Accept = refs.Acceptance(fields["accept"])
	if p.Accept != "" && p.Accept != refs.AcceptAll && !refs.IsFingerprint(fields["accept"]) {
		return p, fmt.Errorf("accept=%q is unknown; accept=%s is known", errtext.Word(fields["accept"], 40), refs.AcceptAll)
	}
	switch progress := fields["progress"]; progress {
	case "", "0", "1":
		p.Progress = progress == "1"
	default:
		return p, fmt.Errorf("progress=%q is neither 0 nor 1", errtext.Word(progress, 40))
	}
	p.Wait = NoWait
	if wait := fields["wait"]; wait != "" {
		if p.Wait, err = units.ParseDuration(wait); err != nil || p.Wait < 0 {
			return p, fmt.Errorf("wait=%q is not a duration; write a number of milliseconds (1500), or one with a unit (90s)", errtext.Word(wait, 40))
		}
	}
	return p, nil
}

// Form returns the request as the form of a POST.
func (p Pull) Form() url.Values {
	form := url.Values{
		"name":   {p.Name.String()},
		"origin": {p.Origin.WithCredentials()},
	}
	if p.Wait != NoWait {
		form.Set("wait", strconv.FormatInt(p.Wait.Milliseconds(), 10))
	}
	if p.Progress {
		form.Set("progress", "1")
	}
	if p.Accept != "" {
		form.Set("accept", string(p.Accept))
	}
	if p.Move.Known() {
		form.Set("move", p.Move.String())
	}
	return form
}

// Secrets are the words of the request that must not be shown if an answer repeats them.
func (p Pull) Secrets() []string { return p.Origin.Remote().Secrets() }
