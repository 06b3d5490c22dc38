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
	probePause = time.Second     // between two trials
	probeLimit = 2 * time.Second // how long a trial may take before the disk counts as hanging
)

// Probe finds out whether a directory can be written, by writing a small file.
type Probe struct {
	file string

	mu     sync.Mutex // guards latest
	latest *trial
}

// trial is one attempt to write the file.
type trial struct {
	began time.Time
	over  chan struct{} // closed when err is known
	err   error
}

// NewProbe returns a probe that writes this file, and removes it again.
func NewProbe(file string) *Probe { return &Probe{file: file} }

// Check returns why the directory cannot be written, or nil. However many callers there are, it
// makes one trial at a time, and at most one a second.
func (p *Probe) Check(ctx context.Context) error {
	p.mu.Lock()
	t := p.latest
	if t == nil || t.isOver() && time.Since(t.began) >= probePause {
		t = &trial{began: time.Now(), over: make(chan struct{})}
		p.latest = t
		// Nobody waits for this goroutine. On a disk that hangs it may never end, and
		// the server must be able to stop all the same.
		go func() {
			t.err = writeAndRemove(p.file)
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
