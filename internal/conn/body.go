package conn

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/reconquest/sould/internal/limiter"
)

// BodyTimeout is how long every client may take to begin to send a body.
const BodyTimeout = 30 * time.Second

// Body is the body of a request while it arrives. Until it is complete, its connection
// counts as waiting, like one whose header has not arrived; from then on its request is
// being answered.
type Body struct {
	io.ReadCloser
	answer func() error // records that the request is being answered, or refuses it
	Whole  bool         // all of it has been read
}

// Arriving returns the request with a body that tells the limiter when it is complete.
func (l *Limiter) Arriving(r *http.Request) (*http.Request, *Body) {
	ctx := r.Context()
	body := &Body{ReadCloser: r.Body, answer: func() error { return l.Answer(ctx, false) }}
	r = r.WithContext(ctx) // a copy: net/http needs the body of its own request
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

// Budget bounds how much memory incomplete bodies take, all together: the bounds of each body
// and of the number of connections would allow too much.
type Budget struct{ bytes atomic.Int64 }

// CountedBody is a body that counts against a budget while it arrives.
type CountedBody struct {
	io.Reader
	budget     *Budget
	read, held int64
}

// Count returns a body that counts against the budget. Reading it fails with limiter.ErrBusy
// when the budget is exceeded.
func (b *Budget) Count(body io.Reader) *CountedBody { return &CountedBody{Reader: body, budget: b} }

func (c *CountedBody) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += int64(n)
	if more := c.read - freeBody - c.held; more > 0 {
		c.held += more
		if c.budget.bytes.Add(more) > mostComing && err == nil {
			err = limiter.ErrBusy
		}
	}
	return n, err
}

// Done ends the counting.
func (c *CountedBody) Done() { c.budget.bytes.Add(-c.held) }

// PacedReader reads from a client that must send as fast as clients must read: MaxPiece bytes
// in each WriteTimeout, with BodyTimeout more at the beginning.
type PacedReader struct {
	io.Reader
	control *http.ResponseController
	began   time.Time
	until   time.Time // when all must have arrived; zero for no limit
	read    int64     // bytes since it began
}

func NewPacedReader(body io.Reader, control *http.ResponseController) *PacedReader {
	return &PacedReader{Reader: body, control: control, began: time.Now()}
}

// Restart starts the time anew, for a client that had to wait. The rest must arrive within
// limit.
func (p *PacedReader) Restart(limit time.Duration) {
	p.began, p.read = time.Now(), 0
	p.until = p.began.Add(limit)
}

// deadline is when the client must have sent more.
func (p *PacedReader) deadline() time.Time {
	next := p.began.Add(BodyTimeout + time.Duration(p.read)*WriteTimeout/MaxPiece)
	if !p.until.IsZero() && next.After(p.until) {
		return p.until
	}
	return next
}

func (p *PacedReader) Read(b []byte) (int, error) {
	if err := p.control.SetReadDeadline(p.deadline()); err != nil {
		return 0, fmt.Errorf("set a deadline: %w", err)
	}
	n, err := p.Reader.Read(b)
	p.read += int64(n)
	return n, err
}
