package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

const (
	probePause = time.Second     // from one try to the next
	probeLimit = 2 * time.Second // after which a try counts as hanging
)

// probe tries whether something works.
type probe struct {
	try func() error

	mu     sync.Mutex // guards latest
	latest *trial
}

// trial is one try.
type trial struct {
	began time.Time
	over  chan struct{} // closed when err is known
	err   error
}

// newProbe returns a probe that calls try.
func newProbe(try func() error) *probe { return &probe{try: try} }

// Check returns the error of a try that is at most a second old, or nil. There is one try at a
// time, however many ask.
func (p *probe) Check(ctx context.Context) error {
	p.mu.Lock()
	t := p.latest
	if t == nil || t.isOver() && time.Since(t.began) >= probePause {
		t = &trial{began: time.Now(), over: make(chan struct{})}
		p.latest = t
		// Nobody waits for this goroutine. On a disk that hangs it may never end, and the
		// server must be able to stop nevertheless.
		go func() {
			t.err = p.try()
			close(t.over)
		}()
	}
	p.mu.Unlock()
	limit := time.NewTimer(time.Until(t.began.Add(probeLimit)))
	defer limit.Stop()
	select {
	case <-t.over:
		return t.err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-limit.C:
		return fmt.Errorf("a small file could not be written within %s", probeLimit)
	}
}

func (t *trial) isOver() bool {
	select {
	case <-t.over:
		return true
	default:
		return false
	}
}

// writeAndRemove writes a small file and removes it.
func writeAndRemove(file string) error {
	err := os.WriteFile(file, []byte("can this be written?\n"), 0o600)
	if err != nil {
		return errors.Join(err, removeIfThere(file)) // on a full disk it may have been created
	}
	return os.Remove(file)
}

func removeIfThere(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
