package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/reconquest/sould/internal/storage"
)

// upkeep is what goes on by itself, without a request: it looks around from time to
// time, lets go of what has been kept for long enough, tends packs, and checks mirrors.
type upkeep struct {
	mirrors  *Mirrors
	settings func() *settings
	log      *slog.Logger
	packs    *maintainer
	checks   *checker
	wake     chan struct{} // has an element when the settings have changed
}

func newUpkeep(mirrors *Mirrors, settings func() *settings, log *slog.Logger) *upkeep {
	return &upkeep{
		mirrors: mirrors, settings: settings, log: log, packs: newMaintainer(mirrors, settings, log),
		checks: newChecker(mirrors, settings, log), wake: make(chan struct{}, 1),
	}
}

// look has it look around soon.
func (u *upkeep) look() {
	for _, wake := range []chan struct{}{u.wake, u.checks.wake} {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// scanPeriod is the time between two looks at the packs of all mirrors: for those that
// were copied in, or that have not changed for long.
const scanPeriod = time.Hour

// run works until ctx ends. It begins when all mirrors were read: what they keep is known
// then.
func (u *upkeep) run(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-u.mirrors.looked:
	}
	scan := time.NewTicker(scanPeriod)
	defer scan.Stop()
	for ctx.Err() == nil {
		set := u.settings()
		u.letGo(ctx, set)
		next := time.NewTimer(lookAgain(set.Keep))
		select {
		case <-ctx.Done():
		case <-u.wake:
		case <-next.C:
		case <-scan.C:
			if err := u.packs.scan(set); err != nil {
				u.log.Error("can't look at the packs of all mirrors", "err", err)
			}
		}
		next.Stop()
	}
}

// letGo lets go of what has been kept for long enough.
func (u *upkeep) letGo(ctx context.Context, set *settings) {
	if err := u.mirrors.storage.Expire(time.Now(), set.Keep); err != nil {
		u.log.Error("can't remove what was kept for long enough", "err", err)
	}
	u.mirrors.LetGo(ctx, set)
}

// lookAgain is after what time to look again for what is kept for so long: often
// enough for what is kept shortly, and not for nothing.
func lookAgain(keep time.Duration) time.Duration {
	if keep == 0 {
		keep = storage.ShortKeep
	}
	return min(max(keep/16, time.Second), time.Hour)
}
