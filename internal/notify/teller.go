package notify

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/backoff"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/units"
)

// teller tells one target. Only its run reads and writes ledgers.
type teller struct {
	*Notifier
	target Target
	opts   *Options
	client *http.Client
	dir    string
	kick   chan struct{} // has an element when there is something new

	// Owned by run, and by open before that.
	first   map[string]*mirror.Snapshot // for a new target, what it is taken to know, until ledgers say so; see present
	opening backoff.Backoff             // of open, if that has failed

	// Owned by run.
	pause     backoff.Backoff // of the target as a whole
	unwritten string          // why a ledger could not be written, as the log was told last
	enough    int             // ledgers; if there are more, those of mirrors that are gone go

	mu      sync.Mutex // guards all below
	isOpen  bool       // entries are those of all ledgers; else there is none yet
	entries map[string]*entry
	counts  counts
}

// counts count deliveries.
type counts struct{ Sent, Failed, Dropped uint64 }

// entry is what is known of a ledger.
type entry struct {
	fingerprint refs.Fingerprint // of what was told
	removed     time.Time        // when the mirror before that was removed, as was told
	at          time.Time        // when a delivery was last accepted
	since       time.Time        // when the one on its way was made; zero for none
	over        outcome          // what became of that, if its ledger does not say so yet
	busy        bool             // it is being sent
	next        *news            // what is to be told after it
	waits       backoff.Backoff
	fault       string // why it was not accepted
}

const (
	maxSending = 4                  // deliveries to one target at the same time
	maxAge     = 7 * 24 * time.Hour // of a delivery
)

func newTeller(n *Notifier, target Target, opts *Options, transport http.RoundTripper) *teller {
	return &teller{
		Notifier: n, target: target, opts: opts, dir: filepath.Join(n.place(), target.key), kick: make(chan struct{}, 1),
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		entries: make(map[string]*entry), enough: spareLedgers,
	}
}

// spareLedgers is how many ledgers there may be beside two for each mirror.
const spareLedgers = 64

// temporary is the end of the names of files that are being written.
const temporary = ".new"

// tell has the target told what all servers have. As long as its ledgers are not read, it does nothing: what
// differs is found then.
func (t *teller) tell(now news) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.isOpen {
		return
	}
	e := t.entries[now.name]
	if e == nil {
		e = &entry{}
		t.entries[now.name] = e
	}
	e.next = &now
	wake(t.kick)
}

// run sends what is on its way until ctx ends.
func (t *teller) run(ctx context.Context) {
	results := make(chan result)
	sending := 0
	for ctx.Err() == nil {
		pause := min(t.reopen(ctx, time.Now()), t.settle(time.Now()))
		t.forgetGone()
		for sending < t.places() {
			name, wait := t.next(time.Now())
			pause = min(pause, wait)
			if name == "" {
				break
			}
			sending++
			go func() { results <- t.send(ctx, name) }() // which is waited for below
		}
		timer := time.NewTimer(pause)
		select {
		case r := <-results:
			sending--
			t.take(r, time.Now())
		case <-timer.C:
		case <-t.kick:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	for ; sending > 0; sending-- {
		if r := <-results; r.outcome == accepted {
			t.take(r, time.Now())
		}
	}
	t.settle(time.Now())
}

// forgetGone removes the ledgers of mirrors that are gone, as the next start would, if they have become too many:
// reads make mirrors, and the quota removes them, again and again. Those that somebody has removed are told of first.
func (t *teller) forgetGone() {
	if t.count() <= t.enough || t.Notifier.dir.CheckOwned() != nil {
		return
	}
	exists := make(map[string]bool)
	for _, m := range t.store.All() {
		exists[m.Name.String()] = true
	}
	kept := 0
	for _, name := range t.idle(exists) {
		if t.wasRemoved(name) {
			kept++
		} else if t.forget(name) {
			_ = os.Remove(t.file(name)) // else the next start tries again
		}
	}
	t.enough = 2*len(exists) + kept + spareLedgers
}

// idle are the mirrors that do not exist and of which there is nothing to tell, as far as the teller was told.
func (t *teller) idle(exists map[string]bool) (names []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, e := range t.entries {
		if !exists[name] && e.isIdle() {
			names = append(names, name)
		}
	}
	return names
}

// isIdle reports whether nothing is to be told, sent or written. teller.mu is held.
func (e *entry) isIdle() bool {
	return !e.busy && e.since.IsZero() && e.over == pending && e.next == nil
}

// forget forgets a mirror, unless there is something to tell by now.
func (t *teller) forget(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	idle := t.entries[name].isIdle()
	if idle {
		delete(t.entries, name)
	}
	return idle
}

// wasRemoved reports whether somebody has removed the mirror of a name, or may have: that cannot be read now.
func (t *teller) wasRemoved(name string) bool {
	parsed, err := storage.ParseName(name)
	if err != nil {
		return false
	}
	_, removed := t.store.DeletedAt(parsed)
	_, err = t.Notifier.dir.Tombstone(parsed)
	return removed || err != nil && !errors.Is(err, fs.ErrNotExist)
}

func (t *teller) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.entries)
}

// places is how many deliveries may be sent at once: one to a target that has not taken the last one.
func (t *teller) places() int {
	if t.pause.Wait > 0 {
		return 1
	}
	return maxSending
}

// next takes the delivery that was made first of those that are due. If none is, the name is empty, and
// wait the time until one is.
func (t *teller) next(now time.Time) (name string, wait time.Duration) {
	if !t.pause.Ready(now) {
		return "", t.pause.Until.Sub(now)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var first *entry
	wait = time.Hour
	for candidate, e := range t.entries {
		switch {
		case e.since.IsZero() || e.busy || e.over != pending:
		case !e.waits.Ready(now):
			wait = min(wait, e.waits.Until.Sub(now))
		case first == nil || e.since.Before(first.since):
			name, first = candidate, e
		}
	}
	if first != nil {
		first.busy = true
	}
	return name, wait
}

// settle writes down what became of deliveries, and makes the next ones. It returns the time until it has
// to try again what could not be written.
func (t *teller) settle(now time.Time) (pause time.Duration) {
	all, pause := t.unsettled(now)
	for name, e := range all {
		err := t.advance(name, e, now)
		if err == nil {
			continue
		}
		t.mu.Lock()
		e.waits.Fail(now, t.retry())
		pause = min(pause, e.waits.Wait)
		t.mu.Unlock()
		if words := err.Error(); words != t.unwritten {
			t.unwritten = words
			t.log.Error("can't write down what a URL is to be told", "url", t.target, "mirror", name, "err", err)
		}
	}
	return pause
}

// retry is the pause after a failure. With `retry = 0` it is short, and yet nothing spins on a disk that is full.
func (t *teller) retry() time.Duration { return max(t.opts.Retry, leastPause) }

// unsettled are the entries whose ledgers are to be written, and the time until others are.
func (t *teller) unsettled(now time.Time) (all map[string]*entry, pause time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all, pause = make(map[string]*entry), time.Hour
	for name, e := range t.entries {
		tried := e.fault != "" // since the start: this server may have been off for so long
		if !e.since.IsZero() && e.over == pending && !e.busy && tried && now.Sub(e.since) > maxAge {
			e.over = dropped
		}
		switch {
		case e.busy, e.over == pending && (e.next == nil || !e.since.IsZero()):
		case e.waits.Ready(now):
			all[name] = e
		default:
			pause = min(pause, e.waits.Until.Sub(now))
		}
	}
	return all, pause
}

// advance writes a ledger: without the delivery that is over, and with the next one.
func (t *teller) advance(name string, e *entry, now time.Time) error {
	t.mu.Lock()
	over, next := e.over, e.next
	t.mu.Unlock()
	l, err := t.read(name)
	if err != nil {
		return err
	}
	if over != pending {
		l.Delivery = nil
	}
	if over == accepted {
		l.At = now
	}
	told := false
	if l.Delivery == nil && next != nil {
		if l, told, err = l.tell(*next, now, rand.Text()); err != nil {
			return err
		}
	}
	if err := t.write(l); err != nil {
		return err
	}
	if over == dropped {
		t.log.Error("gave up telling a URL of a change", "url", t.target, "mirror", name, "since", e.since.UTC().Format(time.RFC3339),
			"reason", "it was not accepted for "+units.FormatSpan(maxAge))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e.fingerprint, e.removed, e.at, e.over = l.Fingerprint, l.Removed, l.At, pending
	e.since, e.fault = time.Time{}, ""
	e.waits.Reset()
	if l.Delivery != nil {
		e.since = l.Delivery.Since
	}
	if again := told && next.snap != nil && !l.isKnown(); e.next == next && (told || l.Delivery == nil) && !again {
		e.next = nil
	}
	if e.next == nil && l.Delivery == nil && !l.isKnown() {
		delete(t.entries, name)
	}
	if over == dropped {
		t.counts.Dropped++
	}
	return nil
}

// take takes in what became of a delivery that was sent. The log is told of the first failure of each one,
// and of a target that takes nothing at all only once.
func (t *teller) take(r result, now time.Time) {
	was := t.pause.Wait
	if r.outcome == unreachable {
		t.pause.Fail(now, t.retry())
		if later := now.Add(r.after); later.After(t.pause.Until) {
			t.pause.Until = later
		}
	} else {
		t.pause.Reset()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries[r.name]
	e.busy = false
	before := e.fault
	if r.outcome == accepted {
		e.over = accepted
		e.waits.Reset()
		t.counts.Sent++
	} else {
		t.counts.Failed++
		e.waits.Fail(now, t.retry())
		e.fault = errtext.Line(r.err.Error())
	}
	switch {
	case r.outcome == unreachable && was == 0:
		t.log.Warn("can't tell a URL of changes, and tries again", "url", t.target, "mirror", r.name, "err", r.err)
	case r.outcome == refused && before == "":
		t.log.Warn("a URL does not accept that it is told of a change, and is told again", "url", t.target, "mirror", r.name, "err", r.err)
	case r.outcome == accepted && was > 0:
		t.log.Info("a URL is told of changes again", "url", t.target)
	}
}

func (t *teller) stats() TargetStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := TargetStats{Target: t.target, counts: t.counts}
	for _, e := range t.entries {
		if !e.since.IsZero() {
			s.Waiting++
		}
		if e.next != nil {
			s.Waiting++
		}
	}
	return s
}

func (t *teller) told(name string) Telling {
	t.mu.Lock()
	defer t.mu.Unlock()
	told := Telling{Target: t.target.String()}
	if e := t.entries[name]; e != nil {
		told.At, told.Since, told.Fault = e.at, e.since, e.fault
	}
	return told
}
