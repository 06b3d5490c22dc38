package protocol

import (
	"net/http"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/storage"
)

// TestTimesOfOtherServers: an implausible time is refused; an accepted one is passed on unchanged.
func TestTimesOfOtherServers(t *testing.T) {
	now, via := time.Date(2026, 11, 22, 17, 0, 0, 0, time.UTC), []string{"other"}
	for _, c := range []struct {
		text string
		via  []string
		want string // empty if it is refused
	}{
		{"", via, "2026-11-22T17:00:00Z"},
		{"2020-01-02T03:04:05.000000006Z", nil, "2026-11-22T17:00:00Z"},
		{"2020-01-02T03:04:05.000000006Z", via, "2020-01-02T03:04:05.000000006Z"},
		{"2199-12-31T23:59:59.999999999Z", via, "2199-12-31T23:59:59.999999999Z"},
		{"2200-01-01T00:00:00Z", via, ""},
		{"9999-12-31T23:59:59.999999999Z", via, ""},
		{"1969-12-31T23:59:59Z", via, ""},
		{"yesterday", via, ""},
	} {
		header := http.Header{}
		header.Set(askedHeader, c.text)
		at, err := AskedAt(header, Trace{Via: c.via}, now)
		if (err == nil) != (c.want != "") {
			t.Errorf("%s: %s, %v", c.text, at, err)
		}
		if err != nil {
			continue
		}
		header = http.Header{}
		SetAsked(header, at)
		if got := header.Get(askedHeader); got != c.want {
			t.Errorf("%s: got %s", c.text, got)
		}
	}
	for sent, want := range map[int64]int64{0: 0, 1: 1, -1: 0, lastIntent.UnixNano() - 1: lastIntent.UnixNano() - 1, 1<<63 - 1: 0} {
		if got := (Mirror{Wanted: sent}).sanitize(storage.Name{}, nil).Wanted; got != want {
			t.Errorf("a server that sends %d is believed %d", sent, got)
		}
	}
}
