package mirror

import (
	"testing"
	"time"
)

func TestHook(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2026, 11, 28, 12, minute, 0, 0, time.UTC) }
	const client, webhook, poll, discovery = "10.1.2.3", "the webhook github", ByPoll, "the discovery of github.com/acme"
	type event struct {
		by     string // who asks; empty if a poll finds a change that nobody has announced
		timely bool
		minute int
	}
	for what, c := range map[string]struct {
		events []event
		want   Hook
		broken time.Time
	}{
		"nothing":                          {nil, Hook{}, time.Time{}},
		"a client":                         {[]event{{client, true, 0}}, Hook{Known: true}, time.Time{}},
		"a client, with nothing new":       {[]event{{client, false, 0}}, Hook{}, time.Time{}},
		"a POST by hand, and changes":      {[]event{{client, false, 0}, {minute: 1}, {client, false, 2}, {minute: 3}, {minute: 4}}, Hook{}, time.Time{}},
		"a webhook, with nothing new":      {[]event{{webhook, false, 0}}, Hook{Known: true}, time.Time{}},
		"another server":                   {[]event{{"another server of the cluster (10.1.2.3)", true, 0}}, Hook{Known: true}, time.Time{}},
		"a webhook":                        {[]event{{webhook, true, 0}}, Hook{Known: true}, time.Time{}},
		"what the server does":             {[]event{{poll, true, 0}, {discovery, true, 0}}, Hook{}, time.Time{}},
		"no hook, and changes":             {[]event{{minute: 1}, {minute: 2}, {minute: 3}}, Hook{}, time.Time{}},
		"one change":                       {[]event{{client, true, 0}, {minute: 1}}, Hook{true, 1, at(1)}, time.Time{}},
		"two changes":                      {[]event{{client, true, 0}, {minute: 1}, {minute: 2}}, Hook{true, 2, at(1)}, at(1)},
		"many changes":                     {[]event{{client, true, 0}, {minute: 1}, {minute: 2}, {minute: 3}, {minute: 4}}, Hook{true, 2, at(1)}, at(1)},
		"one, and an announcement":         {[]event{{client, true, 0}, {minute: 1}, {webhook, true, 2}, {minute: 3}}, Hook{true, 1, at(3)}, time.Time{}},
		"broken, and mended":               {[]event{{client, true, 0}, {minute: 1}, {minute: 2}, {client, true, 3}}, Hook{Known: true}, time.Time{}},
		"broken, and a POST by hand":       {[]event{{client, true, 0}, {minute: 1}, {minute: 2}, {client, false, 3}}, Hook{true, 2, at(1)}, at(1)},
		"broken, and found by a discovery": {[]event{{client, true, 0}, {minute: 1}, {minute: 2}, {discovery, true, 3}}, Hook{true, 2, at(1)}, at(1)},
		"a discovery between two":          {[]event{{client, true, 0}, {minute: 1}, {discovery, true, 2}, {minute: 3}}, Hook{true, 2, at(1)}, at(1)},
	} {
		var h Hook
		for _, e := range c.events {
			if e.by == "" {
				h = h.missed(at(e.minute))
			} else {
				h = h.asked(e.by, e.timely)
			}
		}
		if h != c.want || !h.BrokenSince().Equal(c.broken) {
			t.Errorf("%s: %+v, want %+v", what, h, c.want)
		}
	}
}
