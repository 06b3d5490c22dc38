package notify

import (
	"errors"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/storage"
)

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		status int
		words  string
		want   outcome
		says   string
	}{
		{200, "", accepted, ""},
		{204, "", accepted, ""},
		{302, "", refused, "a redirect (302)"},
		{400, "no such job", refused, "it answered 400: no such job"},
		{500, "the word is hush\x1b[31m\n" + strings.Repeat("long ", 1000), refused, "it answered 500: the word is ***"},
		{429, "", unreachable, "it answered 429"},
		{503, "", unreachable, "it answered 503"},
	} {
		got, err := judge(c.status, c.words, []string{"hush"})
		if got != c.want || (err == nil) != (got == accepted) || err != nil && (!strings.Contains(err.Error(), c.says) || len(err.Error()) > 2*maxWords) {
			t.Errorf("%d: %d, %v", c.status, got, err)
		}
	}
}

func TestLater(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "30": 30 * time.Second, "9999999": maxLater, now.Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		if got := later(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("%q: %s", value, got)
		}
	}
}

func TestSignature(t *testing.T) { // RFC 4231, test case 2
	const want = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
	if got := Signature("Jefe", []byte("what do ya want for nothing?")); got != want {
		t.Error(got)
	}
}

// TestOldDeliveriesAreDropped: and the next one tells what has changed since.
func TestOldDeliveriesAreDropped(t *testing.T) {
	dir, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	target, err := ParseTarget("http://ci.local/")
	if err != nil {
		t.Fatal(err)
	}
	open := func() *teller {
		n := New(dir, nil, nil, slog.New(slog.DiscardHandler), &Options{})
		t := newTeller(n, target, &Options{Retry: time.Second}, nil)
		t.isOpen = true
		return t
	}
	now := time.Now()
	teller := open()
	teller.tell(news{name: "m", snap: state("main=1")})
	teller.settle(now)
	teller.tell(news{name: "m", snap: state("main=2")})
	for range 3 {
		teller.settle(now.Add(maxAge - time.Second))
	}
	if s := teller.stats(); s.Dropped != 0 || s.Waiting != 2 {
		t.Errorf("before: %+v", s)
	}
	l, err := teller.read("m")
	if err != nil || !strings.Contains(string(l.Delivery.Body), `"new":"`+id("1")) {
		t.Fatal(err, l)
	}
	teller.settle(now.Add(maxAge + time.Second))
	if s := teller.stats(); s.Dropped != 0 {
		t.Errorf("it was not tried: %+v", s)
	}
	teller.take(result{name: "m", outcome: refused, err: errors.New("not today")}, now)
	teller.settle(now.Add(maxAge + time.Second))
	l, err = teller.read("m")
	if s := teller.stats(); err != nil || s.Dropped != 1 || s.Waiting != 1 || l.Delivery == nil || !strings.Contains(string(l.Delivery.Body), `"old":"`+id("1")) {
		t.Errorf("after: %v %+v %+v", err, s, l)
	}

	// What cannot be read is no reason to tell anything twice.
	if err := os.WriteFile(teller.file("m"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	teller = open()
	teller.load(teller.file("m"), map[string]bool{"m": true})
	teller.tell(news{name: "m", snap: state("main=3")})
	teller.settle(now)
	if l, err = teller.read("m"); err != nil || l.Delivery != nil || l.Told.Head.ID != id("3") {
		t.Errorf("%v %+v", err, l)
	}

	// What cannot be written is tried again.
	if err := os.RemoveAll(teller.place()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(teller.place(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	teller.tell(news{name: "m", snap: state("main=4")})
	if pause := teller.settle(now); pause != time.Second || teller.settle(now) != time.Second {
		t.Errorf("it is tried again after %s", pause)
	}
	hasty := open()
	hasty.opts = &Options{} // retry = 0
	hasty.tell(news{name: "m", snap: state("main=4")})
	if pause := hasty.settle(now); pause != leastPause {
		t.Errorf("with retry = 0 it is tried again after %s", pause)
	}
	if err := os.Remove(teller.place()); err != nil {
		t.Fatal(err)
	}
	teller.settle(now.Add(time.Second))
	if s := teller.stats(); s.Waiting != 1 {
		t.Errorf("%+v", s)
	}
}
