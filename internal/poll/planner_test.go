package poll

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
)

// simulation runs a planner by a clock of its own.
type simulation struct {
	t      *testing.T
	p      *planner
	now    time.Time
	paused map[string]time.Time
	looks  map[storage.Name][]time.Duration // since the start
	began  time.Time
	most   int // looks at the same time
	atHost map[string]int

	end func(*job) (outcome, time.Duration) // how a look ends, and how long it takes
}

func simulate(t *testing.T, places int) *simulation {
	s := &simulation{
		t: t, now: time.Now(), paused: make(map[string]time.Time), looks: make(map[storage.Name][]time.Duration), atHost: make(map[string]int),
		end: func(*job) (outcome, time.Duration) { return outcome{ending: answered}, 100 * time.Millisecond },
	}
	s.began = s.now
	s.p = newPlanner(s.now, func(host string) time.Time { return s.paused[host] })
	s.p.places = places
	return s
}

// mirrors are n mirrors with origins at a host.
func mirrors(t *testing.T, host string, n int, every time.Duration) (all []subject) {
	t.Helper()
	for i := range n {
		from, err := origin.Parse(fmt.Sprintf("https://%s/%d.git", host, i), false)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, subject{name: name(t, fmt.Sprintf("%s/%d", host, i)), origin: from, every: every})
	}
	return all
}

// run lets time pass.
func (s *simulation) run(d time.Duration) {
	type running struct {
		*job
		outcome
		end time.Time
	}
	var looks []running
	until := s.now.Add(d)
	for {
		for j := s.p.next(s.now); j != nil; j = s.p.next(s.now) {
			host := j.entry.host.name
			s.looks[j.name] = append(s.looks[j.name], s.now.Sub(s.began))
			o, took := s.end(j)
			looks = append(looks, running{j, o, s.now.Add(took)})
			s.most = max(s.most, len(looks))
			at := 0
			for _, r := range looks {
				if r.entry.host.name == host {
					at++
				}
			}
			s.atHost[host] = max(s.atHost[host], at)
		}
		next := s.p.wake()
		slices.SortStableFunc(looks, func(a, b running) int { return a.end.Compare(b.end) })
		if len(looks) > 0 && (next.IsZero() || looks[0].end.Before(next)) {
			next = looks[0].end
		}
		if next.IsZero() || next.After(until) {
			s.now = until
			for _, r := range looks {
				s.p.done(s.now, r.job, r.outcome)
			}
			return
		}
		s.now = next
		if len(looks) > 0 && !looks[0].end.After(s.now) {
			s.p.done(s.now, looks[0].job, looks[0].outcome)
			looks = looks[1:]
		}
	}
}

// counted checks how many looks each mirror had since the last time.
func (s *simulation) counted(what string, least, most int) {
	s.t.Helper()
	for name := range s.p.entries {
		if n := len(s.looks[name]); n < least || n > most {
			s.t.Errorf("%s: %s had %d looks, want %d to %d", what, name, n, least, most)
			break
		}
	}
	clear(s.looks)
}

// TestPlan: each mirror is looked at once in its interval, and all of them evenly.
func TestPlan(t *testing.T) {
	s := simulate(t, 16)
	s.p.sync(s.now, slices.Concat(mirrors(t, "a.example", 1000, 5*time.Minute), mirrors(t, "b.example", 500, 10*time.Minute)))
	s.run(time.Hour)
	perMinute := make(map[int]int)
	for name, looks := range s.looks {
		every := s.p.entries[name].every
		if n, want := len(looks), int(time.Hour/every); n < want-1 || n > want+1 {
			t.Errorf("%s had %d looks, want %d", name, n, want)
		}
		for i, at := range looks {
			perMinute[int(at/time.Minute)]++
			if i > 0 && (at-looks[i-1]-every).Abs() > 10*time.Second {
				t.Errorf("%s: %s between two looks", name, at-looks[i-1])
			}
		}
	}
	for minute, n := range perMinute {
		if n < 200 || n > 300 { // 250 on average
			t.Errorf("%d looks in minute %d", n, minute)
		}
	}
	if s.atHost["https://a.example"] > hostPlaces {
		t.Errorf("%d looks at one host at the same time", s.atHost["https://a.example"])
	}
}

// TestPlanOfRestarts: a server that is started again and again before the interval is over looks at each mirror as
// often as another one.
func TestPlanOfRestarts(t *testing.T) {
	s := simulate(t, 16)
	all := mirrors(t, "a.example", 500, 5*time.Minute)
	for range 60 {
		s.p = newPlanner(s.now, s.p.paused)
		s.p.places = 16
		s.p.sync(s.now, all)
		s.run(time.Minute)
	}
	s.counted("started each minute", 11, 13)
}

// TestPlanOfRareChanges: who has not changed for long is looked at more rarely, and who is gone or fails.
func TestPlanOfRareChanges(t *testing.T) {
	s := simulate(t, 16)
	all := mirrors(t, "a.example", 100, time.Minute)
	s.p.sync(s.now, all)
	s.end = func(*job) (outcome, time.Duration) {
		return outcome{ending: answered, changed: s.now.Add(-time.Hour)}, time.Second
	}
	s.run(5 * time.Minute)
	clear(s.looks)
	s.run(time.Hour)
	s.counted("changed an hour ago", 60/6-2, 60/6+2)

	s.end = func(*job) (outcome, time.Duration) { return outcome{ending: answered, changed: s.now}, time.Second }
	s.run(12 * time.Minute)
	clear(s.looks)
	s.run(time.Hour)
	s.counted("changes always", 58, 62)

	for i := range all {
		all[i].gone = true
	}
	s.p.sync(s.now, all)
	s.run(time.Hour)
	s.counted("gone", 4, 6)

	for i := range all {
		all[i].gone = false
	}
	s.p.sync(s.now, all)
	s.end = func(*job) (outcome, time.Duration) { return outcome{ending: failed}, time.Second }
	s.run(time.Hour)
	clear(s.looks)
	s.run(time.Hour)
	s.counted("fails", 4, 6)
	if n := s.p.down(); n != 0 {
		t.Errorf("a host is down because of its mirrors")
	}
}

// TestPlanOfHosts: one that does not answer, or asks to be left alone, stops no other, and is not
// stormed afterwards.
func TestPlanOfHosts(t *testing.T) {
	const every = 5 * time.Minute
	s := simulate(t, 4)
	bad, good := mirrors(t, "bad.example", 300, every), mirrors(t, "good.example", 300, every)
	s.p.sync(s.now, append(bad, good...))
	s.run(time.Minute) // the bad one answers, at first
	s.end = func(j *job) (outcome, time.Duration) {
		if j.entry.host.name == "https://bad.example" {
			return outcome{ending: down}, 10 * time.Second
		}
		return outcome{ending: answered}, 100 * time.Millisecond
	}
	s.run(every)
	clear(s.looks)
	clear(s.atHost)
	s.run(time.Hour)
	if n := s.atHost["https://bad.example"]; n != 1 {
		t.Errorf("%d looks at the same time at a host that is down", n)
	}
	tried := 0
	for _, m := range bad {
		tried += len(s.looks[m.name])
	}
	for _, m := range good {
		if n := len(s.looks[m.name]); n < 11 || n > 13 {
			t.Errorf("%s had %d looks", m.name, n)
		}
	}
	if tried < 5 || tried > 20 || s.p.down() != 1 {
		t.Errorf("the host that is down was asked %d times in an hour, %d hosts are down", tried, s.p.down())
	}
	// It answers again, and then asks to be left alone.
	s.end = func(*job) (outcome, time.Duration) { return outcome{ending: answered}, 100 * time.Millisecond }
	s.run(10 * time.Minute)
	if s.p.down() != 0 {
		t.Error("the host is still down")
	}
	s.paused["https://bad.example"] = s.now.Add(30 * time.Minute)
	clear(s.looks)
	s.run(30*time.Minute - time.Second)
	for _, m := range bad {
		if n := len(s.looks[m.name]); n > 0 {
			t.Fatalf("%s had %d looks", m.name, n)
		}
	}
	delete(s.paused, "https://bad.example")
	s.run(time.Minute)
	soon := 0
	for _, m := range bad {
		soon += len(s.looks[m.name])
	}
	if soon < 30 || soon > 100 { // 60 on average
		t.Errorf("%d looks in the minute after the pause", soon)
	}
	clear(s.looks)
	s.run(time.Hour)
	s.counted("after the pause", 11, 13)
}

// TestPlanOfTooMany: what cannot be done in time is done as fast as possible, by all in turn.
func TestPlanOfTooMany(t *testing.T) {
	s := simulate(t, 3)
	s.p.sync(s.now, slices.Concat(mirrors(t, "a.example", 100, time.Minute), mirrors(t, "b.example", 100, time.Minute)))
	s.end = func(*job) (outcome, time.Duration) { return outcome{ending: answered}, 6 * time.Second }
	s.run(time.Hour)
	if s.most != 3 {
		t.Errorf("%d looks at the same time", s.most)
	}
	if late := s.p.late(s.now); late < time.Minute {
		t.Errorf("the latest look is late by %s", late)
	}
	s.counted("too many", 6, 12) // nine on average
}

// TestPlanChanges: mirrors come and go, also while they are looked at or wait.
func TestPlanChanges(t *testing.T) {
	s := simulate(t, 8)
	all := mirrors(t, "a.example", 100, time.Minute)
	s.p.sync(s.now, all)
	s.run(time.Minute)
	var looks []*job
	later := s.now.Add(time.Minute) // all are due, two have a place
	for j := s.p.next(later); j != nil; j = s.p.next(later) {
		looks = append(looks, j)
	}
	if len(looks) != hostPlaces {
		t.Fatalf("%d looks", len(looks))
	}
	moved := mirrors(t, "b.example", 10, time.Minute)
	for i := range moved {
		moved[i].name = all[90+i].name
	}
	s.p.sync(later, append(slices.Clone(all[50:90]), moved...))
	s.now = later
	for _, j := range looks {
		s.p.done(s.now, j, outcome{ending: answered})
	}
	clear(s.looks)
	s.run(10 * time.Minute)
	if len(s.p.entries) != 50 || len(s.p.hosts) != 2 {
		t.Errorf("%d mirrors at %d hosts", len(s.p.entries), len(s.p.hosts))
	}
	for name := range s.looks {
		if s.p.entries[name] == nil {
			t.Errorf("%s was looked at, and is not there", name)
		}
	}
	s.counted("after the change", 9, 11)

	s.p.sync(s.now, nil)
	s.run(10 * time.Minute)
	if len(s.looks)+len(s.p.hosts)+len(s.p.queue)+len(s.p.ready)+s.p.running > 0 || !s.p.wake().IsZero() {
		t.Errorf("something is left: %+v", s.p)
	}
	s.p.sync(s.now, mirrors(t, "a.example", 10, time.Minute))
	s.run(10 * time.Minute)
	s.counted("turned on again", 9, 11)
}

func BenchmarkPlan(b *testing.B) {
	t := &testing.T{}
	all := mirrors(t, "a.example", 10_000, 5*time.Minute)
	s := simulate(t, 16)
	s.p.sync(s.now, all)
	for b.Loop() {
		s.run(5 * time.Minute)
		clear(s.looks)
	}
}
