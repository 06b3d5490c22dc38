package conn

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// client is a client that reads a number of pieces, and no more.
type client struct {
	*httptest.ResponseRecorder
	reads     int
	deadlines []time.Time
	pieces    []int
}

func (c *client) SetWriteDeadline(t time.Time) error {
	c.deadlines = append(c.deadlines, t)
	return nil
}

func (c *client) Write(p []byte) (int, error) {
	if len(c.pieces) == c.reads {
		return 0, os.ErrDeadlineExceeded
	}
	c.pieces = append(c.pieces, len(p))
	return len(p), nil
}

// TestSlowClientIsCutOff: a client has a minute to read each 512 KiB, in whichever way they are sent.
func TestSlowClientIsCutOff(t *testing.T) {
	const size = 3 << 20
	content := strings.Repeat("x", size)
	for what, send := range map[string]func(*DeadlineWriter) error{
		"written": func(w *DeadlineWriter) error { _, err := w.Write([]byte(content)); return err },
		"copied": func(w *DeadlineWriter) error {
			_, err := io.Copy(w, io.LimitReader(strings.NewReader(content), size))
			return err
		},
	} {
		for _, reads := range []int{0, 3, 1 << 20} {
			c := &client{ResponseRecorder: httptest.NewRecorder(), reads: reads}
			began := time.Now()
			var sent atomic.Uint64
			err := send(NewDeadlineWriter(c).Counting(&sent))
			if patient := reads > 3; patient != (err == nil) || !patient && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s, to a client that reads %d pieces: %v", what, reads, err)
			}
			taken := 0
			for _, piece := range c.pieces {
				taken += piece
			}
			if sent.Load() != uint64(taken) {
				t.Errorf("%s, to a client that reads %d pieces: %d of %d bytes are counted", what, reads, sent.Load(), taken)
			}
			// One deadline for each 512 KiB, and one more for the piece that is not read, or the end.
			if least := taken / (512 << 10); len(c.deadlines) < least || len(c.deadlines) > least+1 {
				t.Errorf("%s, to a client that reads %d pieces: %d deadlines for %d bytes", what, reads, len(c.deadlines), taken)
			}
			for _, deadline := range c.deadlines {
				if wait := deadline.Sub(began); wait < 30*time.Second || wait > 90*time.Second {
					t.Errorf("%s: the client has %s", what, wait)
				}
			}
		}
	}
}

// TestExtendWriteAfterTheClockWasSetBack: a deadline in the future does not count as one that was just
// set.
func TestExtendWriteAfterTheClockWasSetBack(t *testing.T) {
	one := &state{}
	ctx := context.WithValue(t.Context(), connKey{}, one)
	c := &client{ResponseRecorder: httptest.NewRecorder()}
	for i, pushed := range []time.Duration{-time.Hour, 0, time.Hour} {
		one.extended.Store(time.Now().Add(pushed).UnixNano())
		c.deadlines = nil
		ExtendWrite(ctx, c)
		if given := len(c.deadlines) == 1; given != (i != 1) {
			t.Errorf("after %s: %v", pushed, c.deadlines)
		}
	}
}
