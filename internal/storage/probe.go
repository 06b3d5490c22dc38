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
	probePause = time.Second     // between two tries to write
	probeLimit = 2 * time.Second // for a try, before the disk counts as hanging
)

// Probe finds out whether a directory can be written, by writing.
type Probe struct {
	file string

	mu     sync.Mutex // guards latest
	latest *trial
}

// trial is one try to write.
type trial struct {
	began time.Time
	over  chan struct{} // closed when err is known
	err   error
}

// NewProbe returns a probe that writes a small file.
func NewProbe(file string) *Probe { return &Probe{file: file} }

// Check returns why the storage cannot be written, or nil. However many ask, there is
// one try at a time, and one a second at most.
func (p *Probe) Check(ctx context.Context) error {
	p.mu.Lock()
	t := p.latest
	if t == nil || t.isOver() && time.Since(t.began) >= probePause {
		t = &trial{began: time.Now(), over: make(chan struct{})}
		p.latest = t
		// Nobody waits for its end: on a disk that hangs there may be none, and that
		// must not keep the server from ending.
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
		return errors.Join(err, removeIfThere(file)) // a full disk may have let it be created
	}
	return os.Remove(file)
}

func removeIfThere(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
