package tests

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// promtool runs Prometheus' own check, which says what is wrong.
func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("there is no promtool (Debian's package prometheus)")
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil || args[0] == "check" && args[1] == "metrics" && len(out) > 0 {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestMetricsAreWellNamed, in Prometheus' own opinion.
func TestMetricsAreWellNamed(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	slave := start(t)
	d := start(t, "master = true", slaves(slave.url), `repair = "1s"`)
	d.pulled("m", r.Dir)
	d.get("/m").expect(t, 200)
	promtool(t, d.get("/x/metrics").text(), "check", "metrics")
}

// TestAlerts in contrib are rules, and fire when they must and not before.
func TestAlerts(t *testing.T) {
	t.Parallel()
	promtool(t, "", "check", "rules", "../contrib/alerts.yml")
	promtool(t, "", "test", "rules", "testdata/alerts_test.yml", "testdata/alerts_pushes_test.yml")
}

// TestWhatContribShowsIsMeasured: every metric that the alerts and the dashboard name is there.
func TestWhatContribShowsIsMeasured(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	slave := start(t)
	f, _, _ := forgeWith(t, "list", "acme/one")
	d := start(t, "master = true", slaves(slave.url), `repair = "100ms"`, discovery(f, "list"))
	d.pulled("m", r.Dir)
	d.post("none", r.Dir+"/none").expect(t, 503)
	r.Git("update-ref", "-d", "refs/heads/main")
	d.post("m", r.Dir).expect(t, 503) // a mirror that has failed
	slave.get("/x/health").expect(t, 200)
	eventually(t, "they are compared", func() bool {
		return strings.Contains(d.get("/x/metrics").text(), "sould_server_reachable{")
	})
	there := make(map[string]bool)
	for name := range d.metrics() {
		name, _, _ = strings.Cut(name, "{")
		there[name] = true
	}
	word := regexp.MustCompile(`\b(?:sould|go|process)_[a-z_]+\b`)
	for _, file := range []string{"alerts.yml", "grafana.json"} {
		text := read(t, filepath.Join("..", "contrib", file))
		named := word.FindAllString(text, -1)
		if len(named) < 5 {
			t.Errorf("%s names only %q", file, named)
		}
		for _, name := range named {
			if !there[name] {
				t.Errorf("%s names %s, which is not measured", file, name)
			}
		}
	}
}

// TestDashboard: contrib/grafana.json is a dashboard whose panels each ask something, and lie
// beside each other.
func TestDashboard(t *testing.T) {
	t.Parallel()
	var dashboard struct {
		Title, UID    string
		SchemaVersion int
		Templating    struct{ List []struct{ Name, Type string } }
		Panels        []struct {
			ID          int
			Title, Type string
			Description string
			GridPos     struct{ X, Y, W, H int }
			Targets     []struct{ Expr, RefID string }
		}
	}
	decoder := json.NewDecoder(strings.NewReader(read(t, "../contrib/grafana.json")))
	if err := decoder.Decode(&dashboard); err != nil {
		t.Fatal(err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		t.Errorf("something follows the dashboard: %v", err)
	}
	if dashboard.Title == "" || dashboard.UID == "" || dashboard.SchemaVersion == 0 || len(dashboard.Panels) < 10 || len(dashboard.Templating.List) == 0 {
		t.Errorf("%+v", dashboard)
	}
	var rules strings.Builder // promtool reads expressions only in rules
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	defined := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*")
	taken, ids := make(map[[2]int]string), make(map[int]bool)
	for _, p := range dashboard.Panels {
		if ids[p.ID] {
			t.Errorf("%q has the id of another panel", p.Title)
		}
		ids[p.ID] = true
		if p.Type == "row" {
			continue
		}
		if p.Title == "" || len(p.Targets) == 0 {
			t.Errorf("the panel %d (%q) asks nothing", p.ID, p.Title)
		}
		for _, target := range p.Targets {
			if target.Expr == "" || target.RefID == "" {
				t.Errorf("%q asks %+v", p.Title, target)
			}
			fmt.Fprintf(&rules, "  - {record: \"panel%d:%s\", expr: %q}\n", p.ID, target.RefID, defined.Replace(target.Expr))
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if x >= 24 || taken[[2]int{x, y}] != "" {
					t.Fatalf("%q lies over %q", p.Title, taken[[2]int{x, y}])
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	promtool(t, "", "check", "rules", file)
}
