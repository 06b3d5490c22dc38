package poll

import (
	"context"
	"time"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/storage"
)

// asked is what is known at a look of the requests for a mirror.
type asked struct {
	known  bool      // there was a look before, by this process
	latest time.Time // mirror.Store.Asked then
}

// grace is how long a change that a look has found may still be announced, if the interval is not
// shorter: the hook may just be on its way.
const grace = 30 * time.Second

// isAnnounced decides about a change that a look has found. before is what was known of requests at the
// look before, and latest what is known some time after the look. If a request has come since the look
// before, the change may be what it has announced, even if the pull that it has led to has not brought
// it.
func isAnnounced(before asked, latest time.Time) bool { return !latest.Equal(before.latest) }

// judge waits until a change that a look has found at that time had the time to be announced, and has
// the store remember whether it was.
func (p *Poller) judge(ctx context.Context, j *job, found time.Time) {
	timer := time.NewTimer(min(grace, j.every/2))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-timer.C:
	}
	latest := p.store.Asked(j.name)
	p.setAsked(j.name, latest)
	announced := isAnnounced(j.asked, latest)
	before, after, err := p.store.JudgeHook(ctx, j.name, found, announced)
	if err != nil {
		return // there is no such mirror any more, or the next pull finds the reason
	}
	if !announced && after.Known {
		p.unannounced.Add(1)
	}
	was, is := before.BrokenSince(), after.BrokenSince()
	switch {
	case was.IsZero() && !is.IsZero():
		p.log.Warn("the poll has found changes that nobody has announced: the hook of a mirror seems broken",
			"mirror", j.name, "since", is.UTC().Format(time.RFC3339))
	case is.IsZero() && !was.IsZero():
		p.log.Info(mirror.HookMended, "mirror", j.name)
	}
}

// setAsked makes known at the next look what is known of requests now.
func (p *Poller) setAsked(name storage.Name, latest time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.plan.entries[name]; e != nil {
		e.asked = asked{true, latest}
	}
}
