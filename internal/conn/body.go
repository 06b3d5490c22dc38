package conn

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/reconquest/sould/internal/limiter"
)

// BodyTimeout is how long a client may take to send the first bytes of a body.
const BodyTimeout = 30 * time.Second

// Body is the body of a request while it arrives. Until it is complete, the connection counts as
// waiting, like one whose header has not arrived; then the request counts as being answered.
type Body struct {
	io.ReadCloser
	answer func() error // records that the request is being answered, or refuses it
	Whole  bool         // the whole body has been read
}

// Arriving returns the request with a body that tells the limiter when it is complete, and that
// body. If the limiter then refuses the request, Read fails with limiter.ErrBusy.
func (l *Limiter) Arriving(r *http.Request) (*http.Request, *Body) {
	ctx := r.Context()
	body := &Body{ReadCloser: r.Body, answer: func() error { return l.Answer(ctx, false) }}
	r = r.WithContext(ctx) // a copy, since net/http needs the body of its own request
	r.Body = body
	return r, body
}

func (b *Body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF && !b.Whole {
		if busy := b.answer(); busy != nil {
			return n, busy
		}
		b.Whole = true
	}
	return n, err
}

// Budget bounds the memory of all incomplete bodies together: the bounds of each body and of the
// number of connections would allow too much.
type Budget struct{ bytes atomic.Int64 }

// countedBody is a body that counts against a budget while it arrives.
type countedBody struct {
	io.Reader
	budget  *Budget
	read    int64 // bytes
	counted int64 // bytes that count against the budget
}

// Count returns a body that counts against the budget until Done is called. Reading it fails with
// limiter.ErrBusy when the budget is exceeded.
func (b *Budget) Count(body io.Reader) *countedBody { return &countedBody{Reader: body, budget: b} }

func (c *countedBody) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += int64(n)
	if more := c.read - freeBody - c.counted; more > 0 {
		c.counted += more
		if c.budget.bytes.Add(more) > mostComing && err == nil {
			err = limiter.ErrBusy
		}
	}
	return n, err
}

// Done ends the counting.
func (c *countedBody) Done() { c.budget.bytes.Add(-c.counted) }

// PacedReader reads a body from a client that must send as fast as clients must read: MaxPiece bytes
// in each writeTimeout, with BodyTimeout more at the beginning.
type PacedReader struct {
	io.Reader
	control *http.ResponseController
	began   time.Time
	until   time.Time // when the whole body must have arrived; zero for no limit
	read    int64     // bytes since began
}

// NewPacedReader returns a reader of a body. control sets the deadlines of its connection.
func NewPacedReader(body io.Reader, control *http.ResponseController) *PacedReader {
	return &PacedReader{Reader: body, control: control, began: time.Now()}
}

// Restart starts the time again, for a client that had to wait. The rest must arrive within limit.
func (p *PacedReader) Restart(limit time.Duration) {
	p.began, p.read = time.Now(), 0
	p.until = p.began.Add(limit)
}

// deadline returns when the client must have sent more.
func (p *PacedReader) deadline() time.Time {
	next := p.began.Add(BodyTimeout + time.Duration(p.read)*writeTimeout/MaxPiece)
	if !p.until.IsZero() && next.After(p.until) {
		return p.until
	}
	return next
}

func (p *PacedReader) Read(b []byte) (int, error) {
	if err := p.control.SetReadDeadline(p.deadline()); err != nil {
		return 0, fmt.Errorf("set a deadline for the body: %w", err)
	}
	n, err := p.Reader.Read(b)
	p.read += int64(n)
	return n, err
}
