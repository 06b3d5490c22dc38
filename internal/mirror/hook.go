package mirror

import (
	"context"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/storage"
)

// ByPoll is the By of a pull that looks for changes that nobody has announced.
const ByPoll = "the poll"

// ByWebhook begins the By of a request that a forge's webhook has led to.
const ByWebhook = "the webhook "

// ByServer begins the By of a request that another server has passed on.
const ByServer = "another server of the cluster"

// Hook is what is known of the hook that announces the changes of a mirror's origin: what sends a POST,
// or a forge's webhook. A poll finds out when it is broken.
type Hook struct {
	Known  bool      `json:"known,omitempty"`  // a webhook has come, or a POST that announced a change
	Missed int       `json:"missed,omitempty"` // changes in a row that nobody has announced, maxMissed at most
	Since  time.Time `json:"since,omitzero"`   // when the first of them was found
}

// HookMended is what the log says of a hook that seemed to be broken.
const HookMended = "the hook of a mirror works again"

// maxMissed is how many changes in a row mean that a hook is broken: one may have been lost.
const maxMissed = 2

// BrokenSince is since when the hook seems to be broken; zero if it does not.
func (h Hook) BrokenSince() time.Time {
	if h.Missed < maxMissed {
		return time.Time{}
	}
	return h.Since
}

// asked is the hook after a request of by. timely means that the request came in time: it was what
// brought a change, or came just after a poll had found it. A POST that did not, as the first one for a mirror,
// may be one by hand, of an origin that has no hook.
func (h Hook) asked(by string, timely bool) Hook {
	switch {
	case !isAnnouncement(by):
		return h
	case timely:
		return Hook{Known: true}
	default:
		h.Known = h.Known || strings.HasPrefix(by, ByWebhook)
		return h
	}
}

// missed is the hook after a poll has found a change at that time which nobody has announced. Where
// nobody has ever announced one, there is no hook to be broken.
func (h Hook) missed(at time.Time) Hook {
	switch {
	case !h.Known:
	case h.Missed == 0:
		h.Missed, h.Since = 1, at
	case h.Missed < maxMissed:
		h.Missed++
	}
	return h
}

// isAnnouncement reports whether a request comes from a hook as far as can be told: from a client, by
// itself or by way of another server, or from a webhook. What this server does by itself calls itself
// "the …".
func isAnnouncement(by string) bool {
	return by != "" && (!strings.HasPrefix(by, "the ") || strings.HasPrefix(by, ByWebhook))
}

// Asked is when somebody last asked for a mirror, as far as is known: it changes with each request
// that is begun, and never otherwise.
func (s *Store) Asked(name storage.Name) time.Time {
	at, _ := s.wanted(name)
	at = later(at, s.Journal(name).Asked.At)
	if m, err := s.find(name); err == nil && m.Snapshot() != nil {
		at = later(at, m.Snapshot().Wanted)
	}
	return at
}

// JudgeHook records that a poll has found a change at that time, and whether somebody had announced
// it. It returns what was known of the hook before, and what is known now.
func (s *Store) JudgeHook(ctx context.Context, name storage.Name, found time.Time, announced bool) (before, after Hook, err error) {
	lock, err := s.locks.Lock(ctx, name)
	if err != nil {
		return before, after, err
	}
	defer lock.Unlock()
	m, err := s.Get(name)
	if err != nil {
		return before, after, err
	}
	h := m.hold(s.options.Load(), lock)
	before = h.state().Hook
	if announced {
		after = before.asked(h.state().WantedBy, true)
	} else {
		after = before.missed(found)
	}
	if after == before {
		return before, after, nil
	}
	return before, after, h.update(func(state *stateFile) { state.Hook = after })
}
