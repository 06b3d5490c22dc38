package conn

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// taker is a client that takes in so many pieces, and no more.
type taker struct {
	*httptest.ResponseRecorder
	takes     int
	deadlines []time.Time
	pieces    []int
}

func (c *taker) SetWriteDeadline(t time.Time) error {
	c.deadlines = append(c.deadlines, t)
	return nil
}

func (c *taker) Write(p []byte) (int, error) {
	if len(c.pieces) == c.takes {
		return 0, os.ErrDeadlineExceeded
	}
	c.pieces = append(c.pieces, len(p))
	return len(p), nil
}

// TestWhoTakesInNothingIsGivenUp: a client has a minute for each 512 kB, whichever way
// they are sent.
func TestWhoTakesInNothingIsGivenUp(t *testing.T) {
	const size = 3 << 20
	content := strings.Repeat("x", size)
	for what, send := range map[string]func(*DeadlineWriter) error{
		"written": func(w *DeadlineWriter) error { _, err := w.Write([]byte(content)); return err },
		"copied": func(w *DeadlineWriter) error {
			_, err := io.Copy(w, io.LimitReader(strings.NewReader(content), size))
			return err
		},
	} {
		for _, takes := range []int{0, 3, 1 << 20} {
			client := &taker{ResponseRecorder: httptest.NewRecorder(), takes: takes}
			began := time.Now()
			err := send(NewDeadlineWriter(client))
			if patient := takes > 3; patient != (err == nil) || !patient && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s, to one who takes in %d pieces: %v", what, takes, err)
			}
			taken := 0
			for _, piece := range client.pieces {
				taken += piece
			}
			// One deadline for each 512 kB, and one more for what is not taken in, or is the end.
			if least := taken / (512 << 10); len(client.deadlines) < least || len(client.deadlines) > least+1 {
				t.Errorf("%s, to one who takes in %d pieces: %d deadlines for %d bytes", what, takes, len(client.deadlines), taken)
			}
			for _, deadline := range client.deadlines {
				if wait := deadline.Sub(began); wait < 30*time.Second || wait > 90*time.Second {
					t.Errorf("%s: the client has %s", what, wait)
				}
			}
		}
	}
}

// TestAClientHasTimeAfterTheClockWasSetBack: what bounds an answer is no deadline of an
// earlier one.
func TestAClientHasTimeAfterTheClockWasSetBack(t *testing.T) {
	one := &state{}
	ctx := context.WithValue(t.Context(), connKey{}, one)
	client := &taker{ResponseRecorder: httptest.NewRecorder()}
	for i, pushed := range []time.Duration{-time.Hour, 0, time.Hour} {
		one.extended.Store(time.Now().Add(pushed).UnixNano())
		client.deadlines = nil
		ExtendWrite(ctx, client)
		if given := len(client.deadlines) == 1; given != (i != 1) {
			t.Errorf("after %s: %v", pushed, client.deadlines)
		}
	}
}
