package insight

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/notify"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/page"
	"github.com/reconquest/sould/internal/poll"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/storage"
)

const id = "8d3f2a1c9b7e00112233445566778899aabbccdd"

// newInsight has the mirrors of those names, each with these refs and, if it is not empty, with that
// error of its latest pull.
func newInsight(t testing.TB, names []string, refs []string, failure string) *Insight {
	t.Helper()
	root := t.TempDir()
	dir, err := storage.Open(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	state := `{"origin":"https://git.in.local/a.git","outcome":"success","pulled":"2026-11-28T00:00:00Z"}`
	if failure != "" {
		state = fmt.Sprintf(`{"origin":"https://git.in.local/a.git","outcome":"failed","pulled":"2026-11-28T00:00:00Z","last_error":%q}`, failure)
	}
	packed := "# pack-refs with: peeled fully-peeled sorted \n"
	for _, ref := range refs {
		packed += id + " " + ref + "\n"
	}
	for _, name := range names {
		at := filepath.Join(root, name)
		for path, text := range map[string]string{
			"HEAD": "ref: refs/heads/main\n", "packed-refs": packed, "objects/.keep": "", "refs/.keep": "", storage.StateFile: state,
			"config": "[core]\n\trepositoryformatversion = 0\n\tbare = true\n",
		} {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(at, path)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(at, path), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	life, end := context.WithCancel(t.Context())
	log := slog.New(slog.DiscardHandler)
	client := cluster.NewClient("self", "instance", log, &cluster.Options{MaxConns: 1})
	store := mirror.NewStore(life, mirror.Parts{Dir: dir, Log: log, MaxLists: 1}, &mirror.Options{Git: git.New(git.Options{}), MaxFetches: 1})
	watched := make(chan struct{})
	go func() { store.Watch(); close(watched) }()
	t.Cleanup(func() {
		end()
		<-watched
		store.Wait()
		dir.Close()
	})
	<-store.Ready()
	return &Insight{
		Dir: dir, Store: store, Poller: poll.New(poll.Parts{Store: store, Log: log}, &poll.Options{}), Observer: cluster.NewObserver(life, client),
		Reconciler: cluster.NewReconciler(life, store, client, log, func(string) {}),
		Notifier:   notify.New(dir, store, client, log, &notify.Options{}),
	}
}

var someFrame = page.Frame{Now: time.Unix(1_800_000_000, 0), Version: "1", Server: "sould.local"}

func named(raw string) storage.Name {
	n, err := storage.ParseName(raw)
	if err != nil {
		panic(err)
	}
	return n
}

// mostBytes is what a page may have.
const mostBytes = 200_000

// TestPagesAreBounded: whatever names, refs and errors are on a page, it stays small, and all rows can
// be reached by following the links to the next page.
func TestPagesAreBounded(t *testing.T) {
	var names, refs []string
	for n := range 300 {
		long := strings.Repeat("+", 199-8) // which takes five bytes in HTML
		names = append(names, fmt.Sprintf("m%04d-%[2]s/%[2]s/%[2]s/%[2]s/%[2]s", n, long))
		refs = append(refs, fmt.Sprintf("refs/heads/%04d%s", n, strings.Repeat(`<">&'`, 50)))
	}
	refs = append(refs, "refs/heads/zz"+strings.Repeat("é", 10_000))
	i := newInsight(t, names, refs, strings.Repeat(`<">&'+`, 2000))
	seen := make(map[string]bool)
	next := "/"
	for next != "" {
		u, err := url.Parse(next)
		if err != nil {
			t.Fatal(err)
		}
		o := i.Overview(&Options{}, someFrame, ParseQuery(u.Query()), nil)
		body, err := o.Render()
		if err != nil || len(body) > mostBytes || len(o.Rows) == 0 {
			t.Fatalf("%s: %d bytes, %d rows, %v", next, len(body), len(o.Rows), err)
		}
		for _, row := range o.Rows {
			seen[row.Link] = true
		}
		next = o.Next
	}
	if len(seen) != len(names) {
		t.Errorf("%d of %d mirrors are on the pages", len(seen), len(names))
	}
	name, shown := named(names[0]), 0
	for from := 0; from < len(refs); {
		facts := i.Facts(&Options{}, "http://sould.local", name, nil, someFrame.Now)
		m := i.Mirror(&Options{}, someFrame, name, facts, from)
		body, err := m.Render()
		if err != nil || len(body) > mostBytes || len(m.Refs) == 0 {
			t.Fatalf("refs from %d: %d bytes, %d rows, %v", from, len(body), len(m.Refs), err)
		}
		from, shown = m.To, shown+len(m.Refs)
	}
	if shown != len(refs) {
		t.Errorf("%d of %d refs are on the pages", shown, len(refs))
	}
}

func TestParseQuery(t *testing.T) {
	for query, want := range map[string]Query{
		"":                                {},
		"q=+a+&state=ok&sort=age&from=50": {"a", "ok", "age", 50},
		"state=nonsense&sort=%00&from=-1": {},
		"from=99999999999999999999&q=%zz": {},
		"utm_source=x&from=1e3":           {},
	} {
		values, _ := url.ParseQuery(query) // as net/http does for a request's URL
		if got := ParseQuery(values); got != want {
			t.Errorf("%s: %+v", query, got)
		}
	}
	if got := ParseQuery(url.Values{"q": {strings.Repeat("ü", 500)}}).Text; len(got) > maxSearch+len("…") {
		t.Errorf("the text has %d bytes", len(got))
	}
}

func TestOverviewFindsAndSorts(t *testing.T) {
	i := newInsight(t, []string{"a/one", "a/two", "b"}, []string{"refs/heads/main"}, "")
	for query, want := range map[string]string{
		"": "a/one a/two b", "q=A%2F": "a/one a/two", "q=none": "", "state=ok": "a/one a/two b", "state=failing": "", "from=2": "b", "from=9": "b",
	} {
		values, _ := url.ParseQuery(query)
		o := i.Overview(&Options{}, someFrame, ParseQuery(values), nil)
		var got []string
		for _, row := range o.Rows {
			got = append(got, row.Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %s", query, got)
		}
		if o.Counts[0].N != 3 || o.Counts[len(o.Counts)-1].N != 3 {
			t.Errorf("%s: %+v", query, o.Counts)
		}
	}
}

// TestServersNeedAttention: those that cannot be asked, or are in trouble, and a few of many.
func TestServersNeedAttention(t *testing.T) {
	i := newInsight(t, []string{"m"}, []string{"refs/heads/main"}, "")
	sight := func(raw string, slave bool, fault string, doc *protocol.Status) cluster.Sight {
		address, err := protocol.ParseAddress(raw)
		if err != nil {
			t.Fatal(err)
		}
		return cluster.Sight{Address: address, Slave: slave, Fault: fault, Doc: doc}
	}
	well := sight("well", true, "", &protocol.Status{})
	down := sight("down", true, "connection refused", nil)
	others := []cluster.Sight{well, down, sight("sick", false, "", &protocol.Status{Error: "disk gone"})}
	if label := i.Overview(&Options{}, someFrame, Query{}, others).Counts[0].Label; label != "mirror in all" {
		t.Errorf("one is %q", label)
	}
	list := func(others []cluster.Sight) (text string) {
		for _, a := range i.Overview(&Options{}, someFrame, Query{}, others).Attention {
			text += a.Name + ": " + a.Words + "\n"
		}
		return text
	}
	if got := list(others); got != "slave down: no status: connection refused\npeer sick: in trouble: disk gone\n" {
		t.Error(got)
	}
	if got := list([]cluster.Sight{down, down, down, down, down, down, down}); !strings.HasSuffix(got, "and 2 more: servers, which are named below\n") || strings.Count(got, "\n") != 6 {
		t.Error(got)
	}
}

// TestFactsOfAnOriginThatIsNotAllowed: a stored origin is checked against the settings in force.
func TestFactsOfAnOriginThatIsNotAllowed(t *testing.T) {
	i := newInsight(t, []string{"m"}, []string{"refs/heads/main"}, "")
	pattern, err := origin.ParsePattern("other.local")
	if err != nil {
		t.Fatal(err)
	}
	f := i.Facts(&Options{Origins: origin.Policy{Patterns: []origin.Pattern{pattern}}}, "", named("m"), nil, someFrame.Now)
	if !strings.Contains(f.OriginRefused, "(origins)") || f.Refs != 1 || f.Revision != id {
		t.Errorf("%+v", f)
	}
}

// BenchmarkOverview is the page of ten thousand mirrors.
func BenchmarkOverview(b *testing.B) {
	names := make([]string, 10_000)
	for n := range names {
		names[n] = fmt.Sprintf("team-%d/mirror-%d", n%100, n)
	}
	i := newInsight(b, names, []string{"refs/heads/main", "refs/tags/v1"}, "")
	for _, query := range []string{"", "sort=state", "sort=age&q=mirror-7"} {
		b.Run(query, func(b *testing.B) {
			values, _ := url.ParseQuery(query)
			for b.Loop() {
				body, err := i.Overview(&Options{}, someFrame, ParseQuery(values), nil).Render()
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(len(body)), "bytes")
			}
		})
	}
}
