package metrics

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/archive"
	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/notify"
	"github.com/reconquest/sould/internal/ondemand"
	"github.com/reconquest/sould/internal/pack"
	"github.com/reconquest/sould/internal/poll"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/spool"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/webhook"
)

// TestMetricsAreDocumented keeps docs/metrics.md whole: each metric has a row there, with its type
// and labels, and no row is about one that does not exist.
func TestMetricsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string][]string)
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		name := strings.Trim(cells[0], "` ")
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		if rows[name] != nil {
			t.Errorf("%s is listed twice", name)
		}
		cells = strings.Split(line, "|")
		rows[name] = []string{strings.TrimSpace(cells[2]), strings.TrimSpace(cells[3]), strings.TrimSpace(cells[4])}
	}
	for _, m := range table {
		row := rows[m.name]
		delete(rows, m.name)
		labels := ""
		if len(m.labels) > 0 {
			labels = "`" + strings.Join(m.labels, "`, `") + "`"
		}
		if row == nil || row[0] != string(m.kind) || row[1] != labels || row[2] == "" {
			t.Errorf("docs/metrics.md has %q of %s, a %s with the labels %s", row, m.name, m.kind, labels)
		}
	}
	for name := range rows {
		t.Errorf("docs/metrics.md has %s, which is not measured", name)
	}
}

func TestSumOfMirrors(t *testing.T) {
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0) }
	all := sumUp(nil)
	if len(all.states) != len(states) || !all.oldest.IsZero() {
		t.Errorf("of no mirrors: %+v", all)
	}
	for _, one := range []oneMirror{
		{state: mirror.Success, pulled: at(100), refs: 1, size: 10},
		{state: mirror.Success, pulled: at(50), refs: 2, size: 20},
		{state: mirror.Failed, pulled: at(80), refs: 3, size: 30, damaged: true},
		{state: mirror.Failed, pulled: at(70), refs: 4, size: 40},
		{state: mirror.Failed, refs: 5, size: 50}, // never pulled
		{state: mirror.Unknown},
	} {
		all.add(one)
	}
	if all.states[mirror.Success] != 2 || all.states[mirror.Failed] != 3 || all.states[mirror.Unknown] != 1 || all.refs != 15 ||
		all.size != 150 || all.damaged != 1 || !all.oldest.Equal(at(50)) || !all.oldestFailed.Equal(at(70)) {
		t.Errorf("%+v", all)
	}
}

func TestServersShown(t *testing.T) {
	if n := len(shown(make([]cluster.Comparison, 5000))); n != maxServersShown {
		t.Errorf("%d of 5000 servers are shown", n)
	}
	if n := len(shown(make([]cluster.Comparison, 3))); n != 3 {
		t.Errorf("%d of 3 servers are shown", n)
	}
}

// newParts returns the parts of a server without mirrors, with these slaves.
func newParts(t *testing.T, slaves ...string) Parts {
	t.Helper()
	dir, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cache, err := spool.Open(dir.Own("cache"), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	opts := &cluster.Options{}
	for _, raw := range slaves {
		slave, err := protocol.ParseAddress(raw)
		if err != nil {
			t.Fatal(err)
		}
		opts.Slaves = append(opts.Slaves, slave)
	}
	life, end := context.WithCancelCause(context.Background())
	log := slog.New(slog.DiscardHandler)
	archives := archive.NewCache(cache, dir.Neutral, &archive.Options{})
	p := Parts{
		Life: life, Dir: dir, Cache: cache, Archives: archives,
		Packs: pack.NewMaker(cache, archives, log), Maker: ondemand.NewMaker(life, nil, nil, &ondemand.Options{}), Client: cluster.NewClient(dir.ID, "x", log, opts), Conns: conn.NewLimiter(256),
		Room: ondemand.NewKeeper(dir, log, ondemand.NewTables([]ondemand.Rule{{Prefix: "pool/", Quota: 1 << 20}})),
		Sent: &Sent{}, Deliveries: &webhook.Counts{}, Rejected: NewRejected("broken"), Requests: func() limiter.Stats { return limiter.Stats{} }, MaxNamed: func() int { return 10 },
	}
	p.Prefetcher = archive.NewPrefetcher(p.Archives, log)
	p.Store = mirror.NewStore(life, mirror.Parts{Dir: dir, Log: log, MaxLists: 1}, &mirror.Options{Git: git.New(git.Options{})})
	p.Notifier = notify.New(dir, p.Store, p.Client, log, &notify.Options{})
	p.Room.Manage(p.Store)
	p.Reconciler = cluster.NewReconciler(life, p.Store, p.Client, log, func(string) {})
	p.Poller = poll.New(poll.Parts{Store: p.Store, Log: log}, &poll.Options{})
	t.Cleanup(func() {
		end(mirror.ErrClosing)
		err := cache.Close()
		p.Reconciler.Wait()
		p.Store.Wait()
		p.Client.Close()
		if err = errors.Join(err, dir.Close()); err != nil {
			t.Error(err)
		}
	})
	return p
}

// TestHostileLabels: whatever a label is, the answer can be read, and has one value a line.
func TestHostileLabels(t *testing.T) {
	parts := newParts(t, "[::1]:80", "HTTP://Slave.Local")
	parts.Release = "v1\"} 1\nsould_ready 7\n\\\xff\x00\u2028é"
	m := New(parts)
	t.Cleanup(m.Wait)
	body, err := m.Render(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`^(# (HELP|TYPE) .*|[a-z_]+(\{[a-z_]+="([^"\\]|\\.)*"(,[a-z_]+="([^"\\]|\\.)*")*\})? \S+)\n$`)
	slaves := 0
	for text := range strings.Lines(string(body)) {
		if !line.MatchString(text) || strings.HasPrefix(text, "sould_ready 7") {
			t.Errorf("a line %q", text)
		}
		if strings.Contains(text, `slave="[::1]:80"`) || strings.Contains(text, `slave="HTTP://Slave.Local"`) {
			slaves++
		}
	}
	if slaves != 2*2*3 { // a sum and a count of three results each
		t.Errorf("%d lines are about the two slaves", slaves)
	}
}

func TestRejected(t *testing.T) {
	r := NewRejected("full", "broken", "full")
	r.Count("full")
	r.Count("full")
	r.Count("unheard of")
	if len(r) != 2 || r["full"].Load() != 2 || r["broken"].Load() != 0 {
		t.Errorf("%d reasons; full %d, broken %d", len(r), r["full"].Load(), r["broken"].Load())
	}
}
