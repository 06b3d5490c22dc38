// Package webhook understands what forges say of their repositories. It reads a delivery as it arrives:
// checks that it comes from who knows a secret, and keeps of a payload, which may have megabytes, only the
// few words that tell what has happened to which repository. What is to be done about it is decided by a
// pure function, [Event.Plan], and begun by a [Receiver], once however often the delivery comes.
//
//	hook.go, keys.go         a hook, as it is configured, and by which keys
//	verify.go                signatures
//	scan.go, body.go         payloads, as JSON or as a form, in memory that does not depend on their length
//	event.go                 what each forge's payload means
//	plan.go                  what becomes of the mirrors
//	receiver.go              has it begun
//	answer.go                what the forge is told
//	stats.go                 what is counted
package webhook

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/units"
)

// MaxBody is the length of the longest body of a delivery, in bytes: GitHub sends at most 25 MB
// (docs.github.com, "Webhook events and payloads"), other forges less.
const MaxBody = 25 << 20

// maxID bounds the id of a delivery, in bytes.
const maxID = 200

// Kind is why a delivery cannot be taken.
type Kind int

const (
	Unsigned  Kind = iota // it does not come from who knows the secret
	Malformed             // it cannot be read
	TooLarge              // its body is longer than MaxBody
	Unheard               // it tells of something that does not concern a mirror
	Unmovable             // a mirror cannot follow its repository to where that is now
)

// Error is why a delivery cannot be taken, in words for who looks at the forge's list of deliveries.
type Error struct {
	Kind Kind
	err  error
}

func (e *Error) Error() string { return e.err.Error() }
func (e *Error) Unwrap() error { return e.err }

func fail(k Kind, format string, args ...any) error { return &Error{k, fmt.Errorf(format, args...)} }

// Delivery is one that comes from who knows the secret, unless it is Unsigned.
type Delivery struct {
	Event
	ID  string // that the forge has given it, fit to be shown; empty for none
	Key string // equal for two deliveries that are the same one; empty if the forge gives no ids

	Unsigned bool // nothing may come of it
}

// Read reads a delivery to the end of its body. The error is an *Error, or that of the body. The test of
// Bitbucket Data Center is not signed; as nothing comes of it, it is read all the same, but not its body.
func (h Hook) Read(header http.Header, body io.Reader) (Delivery, error) {
	if event := header.Get("X-Event-Key"); h.Forge == Bitbucket && event == bitbucketPing && header.Get("X-Hub-Signature") == "" {
		return Delivery{Event: Event{Effect: Ping, Name: event}, Unsigned: true}, nil
	}
	signed, err := newSignature(h.Forge, h.Secret, header)
	if err != nil {
		return Delivery{}, err
	}
	digest := sha256.New()
	limited := &io.LimitedReader{R: body, N: MaxBody + 1}
	arriving := io.TeeReader(limited, io.MultiWriter(signed, digest))
	found, malformed := scanBody(arriving, h.Forge, func() io.Writer { return signed.ofForm(h.Forge, h.Secret) })
	if malformed != nil && !errors.Is(malformed, errJSON) {
		return Delivery{}, malformed
	}
	// A scan may end before the body does, and its signature counts more than its form.
	if _, err := io.Copy(io.Discard, arriving); err != nil {
		return Delivery{}, err
	}
	switch {
	case limited.N <= 0:
		return Delivery{}, fail(TooLarge, "the body has more than %s", units.FormatSize(MaxBody))
	case !signed.isRight():
		return Delivery{}, fail(Unsigned, "the delivery was not signed with the secret of this hook")
	case malformed != nil:
		return Delivery{}, &Error{Malformed, malformed}
	}
	d := Delivery{ID: deliveryID(h.Forge, header, found)}
	if d.ID != "" {
		d.Key = h.Name + " " + d.ID + " " + hex.EncodeToString(digest.Sum(nil))
	}
	d.ID = errtext.Word(d.ID, maxID)
	d.Event, err = h.event(header, found)
	return d, err
}

// deliveryHeaders are the headers in which forges send the id of a delivery; the first that is there
// counts. GitLab's X-Gitlab-Event-UUID comes last, since deliveries that one delivery has led to may share it.
var deliveryHeaders = map[Forge][]string{
	GitHub:    {"X-Github-Delivery"},
	GitLab:    {"Idempotency-Key", idHeader, "X-Gitlab-Event-Uuid"},
	Gitea:     {"X-Gitea-Delivery", "X-Github-Delivery"},
	Forgejo:   {"X-Forgejo-Delivery", "X-Gitea-Delivery"},
	Bitbucket: {"X-Request-Uuid", "X-Request-Id"},
}

// deliveryID is the id of a delivery as the forge has sent it; empty for none.
func deliveryID(f Forge, header http.Header, found fields) string {
	for _, name := range deliveryHeaders[f] {
		if id := header.Get(name); id != "" {
			return id[:min(len(id), maxID)]
		}
	}
	if f == Generic {
		id := found.first("id")
		return id[:min(len(id), maxID)]
	}
	return ""
}

// scanBody reads the fields of a body, which is JSON or a form that holds it. The JSON of a form is written to
// what decoded returns as well.
func scanBody(body io.Reader, f Forge, decoded func() io.Writer) (fields, error) {
	r := bufio.NewReader(body)
	if start, _ := r.Peek(len(formField)); string(start) != formField {
		return scan(r, wanted[f])
	}
	_, _ = r.Discard(len(formField))
	held := bufio.NewReader(io.TeeReader(&formReader{r: r}, decoded()))
	found, err := scan(held, wanted[f])
	_, _ = io.Copy(io.Discard, held) // the scan may end before it does
	return found, err
}
