package ondemand

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
)

func named(t *testing.T, raw string) storage.Name {
	name, err := storage.ParseName(raw)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// pulls are stores' pulls that take a second, and fail for the names in errs.
type pulls struct {
	mu    sync.Mutex // guards all below
	began []string
	now   int
	most  int
	errs  map[string]error
	until time.Time // the host wants to be left alone
}

func (p *pulls) paused(string) time.Time { return p.until }

func (p *pulls) begin(req mirror.Request) (func(context.Context) error, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.began = append(p.began, req.Name.String())
	p.now++
	p.most = max(p.most, p.now)
	return func(ctx context.Context) error {
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.now--
		return p.errs[req.Name.String()]
	}, nil
}

// names are those whose pulls began since forget; a run may go on after its readers have left.
func (p *pulls) names() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.began)
}

func (p *pulls) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.began = nil
}

// peak is how many pulls ran at once, at most.
func (p *pulls) peak() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.most
}

// inBubble runs a test with a maker of a table for a/.
func inBubble(t *testing.T, change func(*Options), test func(t *testing.T, m *Maker, p *pulls)) {
	synctest.Test(t, func(t *testing.T) {
		rule := NewRule()
		rule.FirstPatience = time.Minute
		rule.Prefix, rule.Template = "a/", "https://h/{path}"
		o := &Options{Tables: NewTables([]Rule{rule}), Places: 2, Retry: 5 * time.Second}
		change(o)
		life, end := context.WithCancelCause(t.Context())
		p := &pulls{errs: make(map[string]error)}
		m := NewMaker(life, p.begin, p.paused, o)
		test(t, m, p)
		end(mirror.ErrClosing)
		m.Wait()
		if len(m.runs) != 0 {
			t.Errorf("%d runs are left", len(m.runs))
		}
	})
}

func (m *Maker) make1(t *testing.T, raw, by string) error {
	r, err := m.Start(named(t, raw), by)
	if err != nil {
		return err
	}
	return r.Wait(t.Context())
}

func TestAllShareARun(t *testing.T) {
	inBubble(t, func(*Options) {}, func(t *testing.T, m *Maker, p *pulls) {
		var readers sync.WaitGroup
		for i := range 1000 {
			name := []string{"a/x", "a/x.git"}[i%2]
			readers.Go(func() {
				if err := m.make1(t, name, fmt.Sprint(i)); err != nil {
					t.Error(err)
				}
			})
		}
		gone, leave := context.WithCancel(t.Context())
		r, err := m.Start(named(t, "a/x"), "gone")
		if err != nil {
			t.Fatal(err)
		}
		leave()
		if err := r.Wait(gone); !errors.Is(err, context.Canceled) {
			t.Errorf("who leaves is told %v", err)
		}
		readers.Wait()
		if len(p.names()) != 1 {
			t.Errorf("%d runs for one name", len(p.names()))
		}
	})
}

// TestNobodyStarves: who asks for a hundred names does not keep out who asks for one, and who asks for
// more than fit is told to come again.
func TestNobodyStarves(t *testing.T) {
	inBubble(t, func(*Options) {}, func(t *testing.T, m *Maker, p *pulls) {
		var readers sync.WaitGroup
		var busy atomic.Int64
		for i := range 1100 {
			readers.Go(func() {
				err := m.make1(t, fmt.Sprintf("a/many%d", i), "greedy")
				if errors.Is(err, limiter.ErrBusy) {
					busy.Add(1)
				} else if f := (*Failure)(nil); err != nil && (!errors.As(err, &f) || f.Kind != Later) {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if n := busy.Load(); n != 98 { // 2 at work, 1000 in line
			t.Errorf("%d were refused, want 98", n)
		}
		began := time.Now()
		if err := m.make1(t, "a/one", "modest"); err != nil {
			t.Error(err)
		}
		if waited := time.Since(began); waited > 3*time.Second {
			t.Errorf("one waited %s", waited)
		}
		readers.Wait()
		if most := p.peak(); most != 2 {
			t.Errorf("%d at once, want 2", most)
		}
	})
}

func TestFailures(t *testing.T) {
	only, err := origin.ParsePattern("https://h/allowed/")
	if err != nil {
		t.Fatal(err)
	}
	set := func(o *Options) { o.Origins = origin.Policy{Patterns: []origin.Pattern{only}} }
	inBubble(t, set, func(t *testing.T, m *Maker, p *pulls) {
		p.errs["a/allowed/broken"] = errors.New("the disk is full")
		p.errs["a/allowed/nested"] = storage.Conflictf("the name lies inside the mirror a/allowed")
		for _, c := range []struct {
			name  string
			kind  Kind
			again int // runs after a second try at once, and a third later
			later int
		}{
			{"a/allowed/broken", Broken, 1, 2}, {"a/allowed/nested", Nested, 2, 3}, {"a/elsewhere/x", Forbidden, 0, 0},
		} {
			p.forget()
			for i, want := range []int{c.again, c.again, c.later} {
				if i == 2 {
					time.Sleep(6 * time.Second)
				}
				f := (*Failure)(nil)
				if err := m.make1(t, c.name, "x"); !errors.As(err, &f) || f.Kind != c.kind {
					t.Errorf("%s: %v", c.name, err)
				}
				if i > 0 && len(p.names()) != want {
					t.Errorf("%s, %d: %d runs, want %d", c.name, i, len(p.names()), want)
				}
			}
		}
		if _, err := m.Start(named(t, "b/x"), "x"); !errors.Is(err, mirror.ErrUnknown) {
			t.Errorf("a name without a table: %v", err)
		}
		_ = m.make1(t, "a/allowed/broken", "x")
		o := *m.options.Load()
		o.Tables = Tables{}
		m.Configure(&o)
		if _, err := m.Start(named(t, "a/allowed/broken"), "x"); !errors.Is(err, mirror.ErrUnknown) {
			t.Errorf("after the table was removed: %v", err)
		}
	})
}

// TestTableRemovedInLine: who waits in line when a reload removes the table gets no mirror.
func TestTableRemovedInLine(t *testing.T) {
	inBubble(t, func(o *Options) { o.Places = 1 }, func(t *testing.T, m *Maker, p *pulls) {
		first, err := m.Start(named(t, "a/first"), "x")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		second, err := m.Start(named(t, "a/second"), "x")
		if err != nil {
			t.Fatal(err)
		}
		o := *m.options.Load()
		o.Tables = Tables{}
		m.Configure(&o)
		if err := first.Wait(t.Context()); err != nil {
			t.Errorf("what has begun: %v", err)
		}
		if err := second.Wait(t.Context()); !errors.Is(err, mirror.ErrUnknown) || len(p.names()) != 1 {
			t.Errorf("what has not: %v, %q began", err, p.names())
		}
	})
}

// TestNestedNames: while it is not known whether a name has a mirror, those inside it wait.
func TestNestedNames(t *testing.T) {
	inBubble(t, func(o *Options) { o.Places = 8 }, func(t *testing.T, m *Maker, p *pulls) {
		p.errs["a/team"] = storage.Conflictf("no")
		var readers sync.WaitGroup
		for _, name := range []string{"a/team", "a/team/x", "a/team/y", "a/teams"} {
			r, err := m.Start(named(t, name), "x")
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			readers.Go(func() {
				if err := r.Wait(t.Context()); (err != nil) != (name == "a/team") {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		if got := fmt.Sprint(p.names()); got != "[a/team a/teams]" {
			t.Errorf("at once: %s", got)
		}
		readers.Wait()
		if len(p.names()) != 4 {
			t.Errorf("in the end: %q", p.names())
		}
	})
}

func TestPatience(t *testing.T) {
	set := func(o *Options) { o.Tables.rules[0].FirstPatience = 100 * time.Millisecond }
	inBubble(t, set, func(t *testing.T, m *Maker, p *pulls) {
		f := (*Failure)(nil)
		if err := m.make1(t, "a/x", "x"); !errors.As(err, &f) || f.Kind != Later {
			t.Errorf("an impatient reader: %v", err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(m.runs) != 0 || len(p.names()) != 1 {
			t.Errorf("%d runs are left, %q began", len(m.runs), p.names())
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	var m memory
	now := time.Now()
	for i := range 3 * maxRemembered {
		m.add(&Failure{name: named(t, fmt.Sprint("a/", i%(2*maxRemembered))), Until: now.Add(time.Hour)}, now)
	}
	if len(m.byName) > maxRemembered || len(m.order) > maxRemembered {
		t.Errorf("%d names, %d failures", len(m.byName), len(m.order))
	}
	last := named(t, fmt.Sprint("a/", maxRemembered-1))
	if m.find(last, now) == nil || m.find(last, now.Add(2*time.Hour)) != nil {
		t.Error("the latest is forgotten, or lasts for ever")
	}
	m.add(&Failure{name: last, Until: now.Add(3 * time.Hour)}, now.Add(2*time.Hour))
	if len(m.byName) != 1 || len(m.order) != 1 {
		t.Errorf("%d that are over are still there", len(m.byName)-1)
	}
}
