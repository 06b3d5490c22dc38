package poll

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/storage"
)

func TestIsAnnounced(t *testing.T) {
	now := time.Now()
	for what, c := range map[string]struct {
		before asked
		latest time.Time
		want   bool
	}{
		"nobody has ever asked":        {asked{known: true}, time.Time{}, false},
		"nobody has asked since":       {asked{true, now}, now, false},
		"somebody has":                 {asked{true, now}, now.Add(1), true},
		"and the clock was set back":   {asked{true, now}, now.Add(-time.Hour), true},
		"for the first time":           {asked{known: true}, now, true},
		"the same time in another way": {asked{true, now}, now.Round(0).UTC(), false},
	} {
		if got := isAnnounced(c.before, c.latest); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}

func TestIsFresh(t *testing.T) {
	now := time.Now()
	ago := func(d time.Duration, change func(*mirror.Snapshot)) *mirror.Snapshot {
		s := &mirror.Snapshot{Outcome: mirror.Success, Pulled: now.Add(-d)}
		change(s)
		return s
	}
	asItIs := func(*mirror.Snapshot) {}
	for what, c := range map[string]struct {
		s     *mirror.Snapshot
		quiet time.Duration // since the refs have changed; 0 if that is not known
		gone  bool
		want  bool
	}{
		"just pulled":            {ago(time.Second, asItIs), 0, false, true},
		"before a while":         {ago(time.Minute, asItIs), 0, false, false},
		"in the future":          {ago(-time.Second, asItIs), 0, false, false},
		"never":                  {&mirror.Snapshot{Outcome: mirror.Unknown}, 0, false, false},
		"and failed since":       {ago(time.Second, func(s *mirror.Snapshot) { s.Outcome = mirror.Failed }), 0, false, false},
		"from another side":      {ago(time.Second, func(s *mirror.Snapshot) { s.From = "b.local" }), 0, false, false},
		"quiet for an hour":      {ago(2*time.Minute, asItIs), time.Hour, false, true},
		"quiet, but long ago":    {ago(20*time.Minute, asItIs), time.Hour, false, false},
		"changed in the future":  {ago(time.Minute, asItIs), -time.Hour, false, false},
		"quiet for years":        {ago(11*time.Minute, asItIs), 10_000 * time.Hour, false, true},
		"the origin was deleted": {ago(11*time.Minute, asItIs), 0, true, true},
	} {
		var changed time.Time
		if c.quiet != 0 {
			changed = now.Round(0).Add(-c.quiet)
		}
		j := &job{every: 2 * time.Minute, gone: c.gone}
		if got := j.isFresh(c.s, changed, now); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}

// TestLoop: looks begin and end with the configuration, one that hangs stops no other, and the end of
// the context ends all.
func TestLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		every := func(storage.Name, *mirror.Snapshot) time.Duration { return time.Minute }
		p := newPoller(Parts{}, &Options{Places: 4})
		p.plan = newPlanner(time.Now(), func(string) time.Time { return time.Time{} })
		hanging := mirrors(t, "hangs.example", 20, time.Minute)
		all := append(mirrors(t, "a.example", 20, time.Minute), hanging...)
		p.subjects = func(*Options) []subject { return all }
		var mu sync.Mutex // guards looks
		looks := make(map[storage.Name]int)
		p.look = func(ctx context.Context, j *job) (outcome, mirror.Result) {
			mu.Lock()
			looks[j.name]++
			mu.Unlock()
			if j.entry.host.name == "https://hangs.example" {
				<-ctx.Done()
			}
			return outcome{ending: answered}, mirror.Result{}
		}
		count := func(subjects []subject) (n int) {
			mu.Lock()
			defer mu.Unlock()
			for _, s := range subjects {
				n += looks[s.name]
			}
			return n
		}
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { p.loop(ctx); close(ended) }()

		time.Sleep(time.Hour) // turned off: what is counted below would be more
		p.Configure(&Options{Places: 4, Every: every})
		time.Sleep(10*time.Minute + time.Second)
		if n := count(all[:20]); n < 195 || n > 205 {
			t.Errorf("%d looks at 20 mirrors in ten minutes", n)
		}
		if n := count(hanging); n != hostPlaces {
			t.Errorf("%d looks at a host that hangs", n)
		}
		if s := p.Stats(); s.Mirrors != 40 || s.Late < 9*time.Minute {
			t.Errorf("%+v", s)
		}
		if at, period := p.Next(all[0].name); !at.After(time.Now()) || period != time.Minute {
			t.Errorf("the next look is at %s, the period %s", at, period)
		}
		p.Configure(&Options{Places: 4})
		synctest.Wait()
		before := count(all)
		time.Sleep(time.Hour)
		if n := count(all) - before; n != 0 {
			t.Errorf("%d looks after it was turned off", n)
		}
		if at, period := p.Next(all[0].name); !at.IsZero() || period != 0 {
			t.Errorf("a look is planned for %s", at)
		}
		end()
		<-ended
	})
}
