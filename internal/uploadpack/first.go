package uploadpack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/pktline"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/smarthttp"
)

// The first client of a mirror waits until that is made. If it makes a whole clone, it gets the pack
// meanwhile, as it comes from the source: so client and server index it at the same time. What
// has come may still be refused. Therefore the end of the answer is held back until the mirror
// stands: without it, no client takes anything for fetched, and git clone removes what it has
// (git fetch leaves objects to which no ref leads).

// The bands of an answer (gitprotocol-pack(5), "side-band").
const (
	bandData     = 1
	bandProgress = 2
	bandError    = 3
)

const (
	// tellEvery is how often a waiting client is told how far its mirror is.
	tellEvery = time.Second

	// keepAlive is the longest time in which a waiting client hears nothing, as of git's own server.
	keepAlive = 5 * time.Second

	// bandSize is how many bytes of a pack are in one packet; 64 KiB are read at once.
	bandSize = 32 << 10
)

// first is the answer to a client that asks for objects of a mirror that is being made.
type first struct {
	growing *mirror.Growing
	fetch   smarthttp.Fetch
	known   bool // whether fetch is all of the request
	w       *conn.DeadlineWriter

	wanted, early bool // whether the client takes progress, and takes it before the answer
	begun         bool // a pack is being sent
	said          string
	spoke         time.Time // when something was last sent
	packet        []byte
	passed        func() // counts a pack that was sent to its end
}

// newFirst returns the answer to a request of version 2, which it does not close.
func newFirst(g *mirror.Growing, request *smarthttp.Request, w *conn.DeadlineWriter, passed func()) *first {
	a := &first{growing: g, w: w, spoke: time.Now(), passed: passed}
	a.fetch, a.known = request.Fetch(2)
	if commit, err := request.Contains(); commit != "" || err != nil { // whether the mirror has that is to be seen
		a.known = false
	}
	if a.known {
		a.wanted, a.early = a.fetch.TakesProgress()
	}
	return a
}

// send sends the pack as it comes, if that is what the client wants, or only tells of the progress, and
// returns when the mirror stands or cannot be made. It reports whether the answer is complete; else
// the mirror's own answer must follow. The error is the cause of ctx's end, or of writing.
func (a *first) send(ctx context.Context) (complete bool, err error) {
	if a.takesPack() {
		if complete, err = a.follow(ctx); complete || err != nil {
			return complete, err
		}
	}
	if err := a.wait(ctx); err != nil {
		return false, err
	}
	return false, a.say("")
}

// wait waits until the mirror stands or cannot be made, and tells the client how far it is.
func (a *first) wait(ctx context.Context) error {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-a.growing.Over():
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		if err := a.tell(); err != nil {
			return err
		}
	}
}

// takesPack reports whether the whole pack of the mirror is an answer to the request.
func (a *first) takesPack() bool {
	shown := a.growing.Refs()
	return a.known && a.fetch.TakesAnyPack(shown.IDLength()) && a.names(shown)
}

// names reports whether refs name all that the client wants.
func (a *first) names(shown git.Listing) bool {
	return !slices.ContainsFunc(a.fetch.Wants, func(id string) bool { return !refs.Names(shown, id) })
}

// follow sends the pack. complete is false if nothing of it was sent.
func (a *first) follow(ctx context.Context) (complete bool, err error) {
	r := a.growing.Pack()
	if r == nil {
		return false, nil
	}
	defer r.Close()
	for {
		soon, stop := context.WithTimeout(ctx, tellEvery)
		_, err := r.CopyNext(soon, band{a}, conn.MaxPiece)
		waited := soon.Err() != nil
		stop()
		switch {
		case a.w.Err != nil:
			return a.begun, a.w.Err
		case err == nil:
			err = a.w.FlushError()
		case ctx.Err() != nil:
			return a.begun, context.Cause(ctx)
		case waited && errors.Is(err, context.DeadlineExceeded):
			err = a.tell()
		case !a.begun:
			return false, nil
		case errors.Is(err, mirror.ErrStands):
			a.passed()
			return true, a.write([]byte(pktline.Flush))
		default:
			return true, a.fail(ctx, err)
		}
		if err != nil {
			return a.begun, err
		}
	}
}

// fail ends a pack with the reason why it is not to be used, which is known when the pull has ended.
// Then there may be a mirror for the next attempt.
func (a *first) fail(ctx context.Context, reason error) error {
	if err := a.wait(ctx); err != nil {
		return err
	}
	reason = cmp.Or(a.growing.Err(), reason)
	words := "sould: the mirror %s is not what has come: %s: try again"
	if errors.Is(reason, mirror.ErrNoRoom) {
		words = "sould can't make the mirror %s: %s"
	}
	text := fmt.Sprintf(words, a.growing.Name, errtext.Line(reason.Error()))
	return a.write(pktline.Append(nil, string(rune(bandError)), text))
}

// tell tells the client how far the mirror is, if it has not heard that yet, or at least that
// the connection lives. Of what the client can see for itself, while the pack comes, it hears nothing.
func (a *first) tell() error {
	now := a.growing.Now()
	words := fmt.Sprintf("sould makes the mirror %s: %s", a.growing.Name, now)
	switch {
	case a.begun:
		words = "sould checks what has come: " + now.Step
	case !a.early:
		return nil // the answer has not begun
	}
	if a.wanted && words != a.said && !(a.begun && now.Receives()) {
		return a.say(words)
	}
	if time.Since(a.spoke) < keepAlive {
		return nil
	}
	if a.begun {
		return a.flush(pktline.Append(nil, string(rune(bandData))))
	}
	return a.flush(pktline.Append(nil, string(rune(bandProgress))))
}

// say sends a line of progress, in the place of the one before. Without words it ends that line.
func (a *first) say(words string) error {
	switch {
	case words == "" && a.said == "":
		return nil
	case words == "":
		words = a.said + "\n"
	default:
		a.said = words
		words += "\r"
		if a.begun { // the client draws a line of its own
			words = a.said + "\n"
		}
	}
	return a.flush(pktline.Append(nil, string(rune(bandProgress)), words))
}

func (a *first) write(packet []byte) error {
	a.spoke = time.Now()
	_, err := a.w.Write(packet)
	return err
}

func (a *first) flush(packet []byte) error {
	if err := a.write(packet); err != nil {
		return err
	}
	return a.w.FlushError()
}

// band writes parts of a pack.
type band struct{ *first }

func (b band) Write(p []byte) (n int, err error) {
	b.packet = b.packet[:0]
	if !b.begun {
		b.begun, b.said = true, ""
		section := "packfile\n"
		if b.early {
			section = string(rune(bandData)) + section
		}
		b.packet = pktline.Append(b.packet, section)
	}
	for left := p; len(left) > 0; {
		size := min(len(left), bandSize)
		b.packet = fmt.Appendf(b.packet, "%04x%c", size+5, bandData)
		b.packet = append(b.packet, left[:size]...)
		left = left[size:]
	}
	if err := b.write(b.packet); err != nil {
		return 0, err
	}
	return len(p), nil
}
