package mirror

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reconquest/sould/internal/changes"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/logging"
	"github.com/reconquest/sould/internal/storage"
)

// TestLogUntil: the log has a line every half a minute of a pull that takes long, and none of one
// that waits.
func TestLogUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		p := &Progress{began: time.Now(), moved: new(changes.Feed[storage.Name])}
		stop := p.logUntil(logging.New(&b).Logger)
		p.wait("waiting for other transfers")
		time.Sleep(65 * time.Second)
		p.read("fetching from the peer x", Source{Peer: "x"})
		p.transferring(git.Progress{Step: "receiving objects", Percent: 34, Done: 340, Total: 1000, Bytes: 5 << 20, Rate: 1 << 20})
		time.Sleep(time.Minute)
		p.say("writing refs")
		stop()
		stop()
		time.Sleep(time.Hour)
		const want = `a pull takes long since=2000-01-01T00:01:05Z took=90.00s from="the peer x" step="receiving objects 34 % (340 of 1000), 5.0 MiB at 1.0 MiB/s"`
		if got := b.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, want) || !strings.Contains(got, "took=120.00s") {
			t.Errorf("the log is\n%s", got)
		}
	})
}

// TestStatusPace: each step changes the status, and a transfer now and then.
func TestStatusPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var moves changes.Feed[storage.Name]
		p := &Progress{moved: &moves}
		p.wait("waiting")
		p.read("fetching", Source{})
		for percent := range 100 { // ten seconds
			p.transferring(git.Progress{Step: "receiving objects", Percent: percent, Total: 100})
			time.Sleep(100 * time.Millisecond)
		}
		now := p.Now()
		if got := moves.Count(); got != 2+4 || now.From != "the origin" || now.Percent != 99 || time.Since(now.Since) != 10*time.Second {
			t.Errorf("%d moves; %+v", got, now)
		}
	})
}
