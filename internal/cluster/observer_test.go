package cluster

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/refs"
)

// TestObserverMakesNobodyWait: a server that does not answer is asked in the background, once, and its
// answer is news; what others have told is shown meanwhile.
func TestObserverMakesNobodyWait(t *testing.T) {
	hold, asked := make(chan bool), make(chan bool, 8)
	print := strings.Repeat("0f", 32)
	status := `{"role": "slave", "total": 1, "mirrors": [{"name": "m", "state": "success", "fingerprint": "` + print + `"}]}`
	answer := func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(status))
	}
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- true
		<-hold
		answer(w)
	}))
	defer slow.Close()
	quick := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w) }))
	defer quick.Close()
	addresses := make([]protocol.Address, 2)
	for i, url := range []string{slow.URL, quick.URL} {
		var err error
		if addresses[i], err = protocol.ParseAddress(url); err != nil {
			t.Fatal(err)
		}
	}
	client := NewClient("self", "instance", slog.New(slog.DiscardHandler), &Options{Slaves: addresses[:1], Peers: addresses[1:], MaxConns: 1, Timeout: time.Minute, Refs: refs.DefaultPatterns()})
	defer client.Close()
	life, end := context.WithCancel(t.Context())
	o := NewObserver(life, client)
	defer o.Wait()
	defer end()

	_, changed := o.News()
	first := o.Look(t.Context())
	if first[1].Doc == nil { // the machine is busy: the quick one has told nothing within the time of a look
		<-changed
		first = o.Look(t.Context())
	}
	if len(first) != 2 || !first[0].Slave || first[0].Doc != nil || first[1].Slave || first[1].Doc == nil {
		t.Fatalf("%+v", first)
	}
	<-asked
	_, changed = o.News()
	for range 3 {
		o.Look(t.Context())
	}
	close(hold)
	<-changed
	second := o.Look(t.Context())
	if second[0].Doc == nil || len(asked) > 0 {
		t.Errorf("the slow server was asked %d times more, and has told %v", len(asked), second[0].Doc)
	}
	snap := &mirror.Snapshot{Listing: git.Listing{}, Fingerprint: refs.Fingerprint(print)}
	if got, theirs := second[0].Relation(named("m"), snap, false, first[0].Asked); got != Equal || theirs == nil {
		t.Errorf("the mirror there is %s, %v", got, theirs)
	}
}
