package conn

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	began := time.Now()
	for _, c := range []struct {
		read        int64
		limit, want time.Duration
	}{
		{0, 0, BodyTimeout},
		{1, 0, BodyTimeout + writeTimeout/MaxPiece},
		{MaxPiece, 0, BodyTimeout + writeTimeout},
		{64 << 20, 0, BodyTimeout + (64<<20)/MaxPiece*writeTimeout},
		{0, time.Minute, BodyTimeout},
		{64 << 20, time.Minute, time.Minute},
	} {
		p := PacedReader{began: began, read: c.read}
		if c.limit > 0 {
			p.until = began.Add(c.limit)
		}
		if got := p.deadline().Sub(began); got != c.want {
			t.Errorf("%d bytes within %s: the deadline is after %s, want %s", c.read, c.limit, got, c.want)
		}
	}
}
