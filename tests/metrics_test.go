package tests

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// samples are the values of metrics, by name and labels as they are written.
type samples map[string]float64

// metrics scrapes the daemon.
func (d *daemon) metrics() samples {
	d.t.Helper()
	a := d.get("/x/metrics").expect(d.t, 200, "Content-Type", "text/plain; version=0.0.4; charset=utf-8", "Cache-Control", "no-store")
	return parseMetrics(d.t, a.text())
}

func parseMetrics(t *testing.T, text string) samples {
	t.Helper()
	all := make(samples)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(strings.TrimSpace(line[at+1:]), 64)
		if err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		all[line[:at]] = value
	}
	return all
}

// counts are those of the samples that count events, and not time: what a test can know.
var counts = regexp.MustCompile(`^sould_\w*(_total|_count)(\{|$)`)

// since returns by how much counts have grown.
func (s samples) since(before samples) samples {
	grown := make(samples)
	for name, value := range s {
		if counts.MatchString(name) && value != before[name] {
			grown[name] = value - before[name]
		}
	}
	return grown
}

// expect checks that the daemon's counts grow by this, and by nothing else.
func (before samples) expect(t *testing.T, d *daemon, want samples) (now samples) {
	t.Helper()
	within(patient, func() bool { // what was sent is counted a moment after it was received
		now = d.metrics()
		return maps.Equal(now.since(before), want)
	})
	if got := now.since(before); !maps.Equal(got, want) {
		for _, name := range slices.Sorted(maps.Keys(want)) {
			t.Logf("want %s %v", name, want[name])
		}
		for _, name := range slices.Sorted(maps.Keys(got)) {
			t.Errorf("%s has grown by %v, want %v", name, got[name], want[name])
		}
	}
	return now
}

// TestMetrics: each thing that happens moves the values that it must, and no others.
func TestMetrics(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	slave := start(t)
	gone := httptest.NewServer(nil)
	gone.Close()
	d := prepare(t, "master = true", "timeout = 5000", "maintenance = false", slaves(slave.url, gone.URL))
	calls := d.countGit()
	d.run()
	eventually(t, "the first look is over", func() bool { return d.metrics()["sould_ready"] == 1 })
	started := calls()
	now := d.metrics()
	children := func() float64 { // git processes since the last time
		n := calls()
		defer func() { started = n }()
		return float64(n - started)
	}
	label := func(name, server, result string) string {
		return fmt.Sprintf("%s{result=%q,slave=%q}", name, result, strings.TrimPrefix(server, "http://"))
	}
	const propagated = "sould_propagation_duration_seconds_count"

	d.post("m", r.Dir).expect(t, 502)
	now = now.expect(t, d, samples{
		`sould_pull_duration_seconds_count{result="changed"}`: 1, "sould_children_started_total": children(),
		label(propagated, slave.url, "success"): 1, label(propagated, gone.URL, "failed"): 1,
	})
	d.post("m", r.Dir).expect(t, 502)
	now = now.expect(t, d, samples{
		`sould_pull_duration_seconds_count{result="unchanged"}`: 1, "sould_children_started_total": children(),
		label(propagated, slave.url, "success"): 1, label(propagated, gone.URL, "failed"): 1,
	})
	d.post("none", r.Dir+"/none").expect(t, 503)
	now = now.expect(t, d, samples{
		`sould_pull_duration_seconds_count{result="failed"}`: 1, "sould_children_started_total": children(),
		label(propagated, slave.url, "failed"): 1, label(propagated, gone.URL, "failed"): 1,
	})

	first := d.get("/m").expect(t, 200)
	size := float64(len(first.body))
	now = now.expect(t, d, samples{
		`sould_archives_total{result="miss"}`: 1, "sould_archive_making_duration_seconds_count": 1,
		"sould_archive_made_bytes_total": size, `sould_sent_bytes_total{content="archive"}`: size,
		"sould_children_started_total": children(),
	})
	d.get("/m").expect(t, 200)
	d.get("/m", "Range", "bytes=0-9").expect(t, 206)
	d.do("HEAD", "/m", nil).expect(t, 200)
	d.get("/m", "If-None-Match", first.Header.Get("Etag")).expect(t, 304)
	now = now.expect(t, d, samples{
		`sould_archives_total{result="hit"}`: 3, `sould_archives_total{result="unmodified"}`: 1,
		`sould_sent_bytes_total{content="archive"}`: size + 10,
	})

	packed := func() float64 { // bytes of a pack that was just made, with what git says while it works
		n := d.metrics().since(now)["sould_pack_made_bytes_total"]
		if n < 100 {
			t.Errorf("a pack of %v bytes", n)
		}
		return n
	}
	d.clone("2", "m", "--mirror")
	pack := packed()
	now = now.expect(t, d, samples{
		`sould_packs_total{result="made"}`: 1, "sould_pack_making_duration_seconds_count": 1, "sould_pack_made_bytes_total": pack,
		`sould_sent_bytes_total{content="pack"}`: pack, "sould_children_started_total": children(),
	})
	d.clone("2", "m", "--mirror")
	pack = packed()
	now = now.expect(t, d, samples{
		`sould_packs_total{result="made"}`: 1, "sould_pack_making_duration_seconds_count": 1, "sould_pack_made_bytes_total": pack,
		"sould_packs_kept_total": 1, `sould_sent_bytes_total{content="pack"}`: pack, "sould_children_started_total": children(),
	})
	d.clone("2", "m", "--mirror")
	now = now.expect(t, d, samples{`sould_packs_total{result="shared"}`: 1, `sould_sent_bytes_total{content="pack"}`: pack})

	bundle := d.get("/m?format=bundle").expect(t, 200)
	now = now.expect(t, d, samples{
		"sould_pack_making_duration_seconds_count": 1, "sould_pack_made_bytes_total": float64(len(bundle.body)),
		`sould_sent_bytes_total{content="bundle"}`: float64(len(bundle.body)), "sould_children_started_total": children(),
	})

	d.get("/other").expect(t, 404)
	d.get("/m?ref=-x").expect(t, 400)
	d.do("PUT", "/m", nil).expect(t, 405)
	d.do("DELETE", "/m", nil).expect(t, 403)
	d.get("/m", "If-Match", `"other"`).expect(t, 412)
	now.expect(t, d, samples{
		`sould_rejected_requests_total{reason="not_found"}`: 1, `sould_rejected_requests_total{reason="bad_request"}`: 1,
		`sould_rejected_requests_total{reason="method"}`: 1, `sould_rejected_requests_total{reason="forbidden"}`: 1,
		`sould_rejected_requests_total{reason="condition"}`: 1,
	})
	d.gauges(map[string]string{
		"sould_mirror_refs{mirror=\"m\"}": "1", "sould_mirror_state{mirror=\"m\",state=\"success\"}": "1",
		"sould_mirrors{state=\"success\"}": "1", "sould_mirrors{state=\"failed\"}": "0", "sould_mirrors_refs": "1",
		"sould_pulls_running": "0", "sould_children_running": "0", "sould_storage_usable": "1", "sould_cache_files": "3",
		"sould_cache_used_bytes": fmt.Sprint(size + pack + float64(len(bundle.body))),
	})
	if text := d.get("/x/status").text(); !strings.Contains(text, "packs: 2 made, 1 shared, 1 kept\n") ||
		!strings.Contains(text, "archives: 3 hit, 1 missed\n") {
		t.Errorf("the status tells\n%s", text)
	}
}

// gauges checks values of now.
func (d *daemon) gauges(want map[string]string) {
	d.t.Helper()
	var now samples
	wrong := func() (all []string) {
		now = d.metrics()
		for name, value := range want {
			if got, ok := now[name]; !ok || fmt.Sprint(got) != value {
				all = append(all, fmt.Sprintf("%s is %v, want %s", name, got, value))
			}
		}
		return all
	}
	within(patient, func() bool { return len(wrong()) == 0 })
	if all := wrong(); len(all) > 0 {
		d.t.Errorf("%s", strings.Join(all, "\n"))
	}
}

// TestMetricsOfMirrors: size and dates are those of the disk and of the status, also after a
// restart, and with many mirrors only sums are told.
func TestMetricsOfMirrors(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t, "maintenance = false")
	d.pulled("a", r.Dir)
	d.pulled("pool/b~1+x@y", r.Dir)
	r.Commit("main", map[string]string{"file": "2"})
	d.pulled("a", r.Dir)
	check := func(when string) {
		t.Helper()
		now := d.metrics()
		sum := 0.0
		for _, m := range d.status("").Mirrors {
			size := 0.0
			for _, ext := range []string{"pack", "idx"} {
				files, err := filepath.Glob(filepath.Join(d.mirror(m.Name), "objects", "pack", "*."+ext))
				if err != nil || len(files) == 0 {
					t.Fatal(files, err)
				}
				for _, file := range files {
					info, err := os.Stat(file)
					if err != nil {
						t.Fatal(err)
					}
					size += float64(info.Size())
				}
			}
			sum += size
			if got := now[fmt.Sprintf("sould_mirror_size_bytes{mirror=%q}", m.Name)]; got != size {
				t.Errorf("%s: %s takes %v bytes, and %v are told", when, m.Name, size, got)
			}
			if got := now[fmt.Sprintf("sould_mirror_last_success_timestamp_seconds{mirror=%q}", m.Name)]; int64(got) != m.ModifyDate {
				t.Errorf("%s: %s was pulled at %v, and %v is told", when, m.Name, m.ModifyDate, got)
			}
		}
		if now["sould_mirrors_size_bytes"] != sum || now["sould_mirrors_refs"] != 2 || sum == 0 {
			t.Errorf("%s: all take %v bytes, and %v are told; refs: %v", when, sum, now["sould_mirrors_size_bytes"], now["sould_mirrors_refs"])
		}
	}
	check("after pulls")
	d.stop()
	hostile := "evil\"} 7\nsould_ready 7\n\\" // as no POST can name it, and no mirror is called
	if err := os.CopyFS(d.mirror(hostile), os.DirFS(d.mirror("a"))); err != nil {
		t.Fatal(err)
	}
	d.run()
	eventually(t, "the first look is over", func() bool { return d.metrics()["sould_ready"] == 1 })
	check("after a restart")

	r.Git("update-ref", "-d", "refs/heads/main")
	d.post("a", r.Dir).expect(t, 500)
	oldest := d.metrics()[`sould_mirror_last_success_timestamp_seconds{mirror="a"}`]
	d.reload("maintenance = false", "metrics_mirrors = 1")
	now := d.metrics()
	for name := range now {
		if strings.HasPrefix(name, "sould_mirror_") {
			t.Errorf("%s is told of one of more mirrors than metrics_mirrors", name)
		}
	}
	if now["sould_failed_mirrors_oldest_success_timestamp_seconds"] != oldest || now["sould_mirrors_oldest_success_timestamp_seconds"] == oldest ||
		now[`sould_mirrors{state="failed"}`] != 1 || now[`sould_mirrors{state="success"}`] != 1 {
		t.Errorf("%v", now)
	}
}

// TestMetricsOfWhatIsMadeAhead of those who ask after a push.
func TestMetricsOfWhatIsMadeAhead(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t)
	d.pulled("m", r.Dir)
	d.get("/m").expect(t, 200)
	d.clone("2", "m", "--mirror")
	d.gauges(map[string]string{"sould_archives_ahead_total": "0", "sould_packs_ahead_total": "0"})
	r.Commit("main", map[string]string{"file": "2"})
	d.pulled("m", r.Dir)
	d.gauges(map[string]string{
		"sould_archives_ahead_total": "1", "sould_packs_ahead_total": "1", "sould_packs_kept_total": "1",
		`sould_prefetch_waiting{content="archive"}`: "0", `sould_prefetch_waiting{content="pack"}`: "0",
		"sould_archive_making_duration_seconds_count": "2", "sould_pack_making_duration_seconds_count": "2",
	})
	d.get("/m").expect(t, 200)
	d.clone("2", "m", "--mirror")
	d.gauges(map[string]string{
		`sould_archives_total{result="hit"}`: "1", `sould_archives_total{result="miss"}`: "1",
		`sould_packs_total{result="made"}`: "1", `sould_packs_total{result="shared"}`: "1",
	})
}

// TestMetricsOfDamage that is found and repaired.
func TestMetricsOfDamage(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t)
	d.pulled("m", r.Dir)
	before := d.metrics()
	d.garble("m")
	d.reload(`check = "2s"`)
	d.wait(`INFO pulled mirror=m [^\n]*\n(?s:.*)rebuilt mirror=m(?s:.*)INFO pulled mirror=m`)
	d.gauges(map[string]string{
		"sould_damage_found_total":    fmt.Sprint(before["sould_damage_found_total"] + 1),
		"sould_mirrors_rebuilt_total": fmt.Sprint(before["sould_mirrors_rebuilt_total"] + 1), "sould_mirrors_damaged": "0",
	})
}

// TestMetricsOfACluster: who is behind, since when, and that it was repaired.
func TestMetricsOfACluster(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	address, other, own := "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	slave := start(t, fmt.Sprintf("listen = %q", address))
	peer := start(t, fmt.Sprintf("listen = %q", other))
	d := start(t, fmt.Sprintf("listen = %q", own), "master = true", slaves(address), peers(other, own), `repair = "200ms"`, "timeout = 2000")
	of := func(name, server, role, more string) string {
		return fmt.Sprintf("%s{%srole=%q,server=%q}", name, more, role, server)
	}
	d.pulled("m", r.Dir)
	eventually(t, "both are compared", func() bool {
		now := d.metrics()
		return now[of("sould_server_reachable", address, "slave", "")] == 1 && now[of("sould_server_reachable", other, "peer", "")] == 1
	})
	d.gauges(map[string]string{
		of("sould_server_lag_seconds", address, "slave", ""): "0", of("sould_server_lag_seconds", other, "peer", ""): "0",
		of("sould_server_differences", address, "slave", `difference="behind",`): "0",
	})
	if text := d.get("/x/metrics").text(); strings.Contains(text, own) {
		t.Errorf("the server compares itself with itself:\n%s", text)
	}

	slave.stop()
	r.Commit("main", map[string]string{"file": "2"})
	d.post("m", r.Dir).expect(t, 502)
	eventually(t, "the slave lags", func() bool {
		now := d.metrics()
		return now[of("sould_server_reachable", address, "slave", "")] == 0 && now[of("sould_server_lag_seconds", address, "slave", "")] > 0
	})
	before := d.metrics()
	slave.run()
	repaired := fmt.Sprintf("sould_repairs_total{result=%q,role=%q,server=%q}", "success", "slave", address)
	eventually(t, "the slave is repaired", func() bool {
		now := d.metrics()
		return now[of("sould_server_lag_seconds", address, "slave", "")] == 0 && now[repaired] == before[repaired]+1
	})
	peer.pulled("only/there", r.Dir)
	built := fmt.Sprintf("sould_repairs_total{result=%q,role=%q,server=%q}", "success", "peer", other)
	eventually(t, "what only the peer had is here", func() bool { return d.metrics()[built] >= 1 })

	// Who is not configured any more is forgotten.
	d.reload("master = true", slaves(address), `repair = "0"`)
	for name := range d.metrics() {
		if strings.HasPrefix(name, "sould_server_") || strings.Contains(name, other) {
			t.Errorf("%s is still told", name)
		}
	}
	d.reload()
	for name := range d.metrics() {
		if strings.Contains(name, address) {
			t.Errorf("%s is still told", name)
		}
	}
}

// TestMetricsAreForReaders, and show no secrets.
func TestMetricsAreForReaders(t *testing.T) {
	t.Parallel()
	_, server, url := served(t)
	server.Require("jack", "s3cret-pass")
	d := start(t, fmt.Sprintf("token = %q", token), fmt.Sprintf("read_token = %q", readToken), `allow_hosts = ["127.0.0.1"]`)
	d.postAs(bearer(token), "m", strings.Replace(url, "://", "://jack:s3cret-pass@", 1)).expect(t, 200)
	before := parseMetrics(t, d.get("/x/metrics", "Authorization", basic(readToken)).expect(t, 200).text())
	for _, authorization := range []string{"", basic(stranger), bearer(stranger)} {
		d.get("/x/metrics", "Authorization", authorization).expect(t, 401, "WWW-Authenticate", `Basic realm="sould"`)
	}
	r, err := http.NewRequest("GET", d.url+"/x/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "evil.example"
	misled, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if misled.Body.Close(); misled.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("by another name: %s", misled.Status)
	}
	a := d.get("/x/metrics", "Authorization", bearer(token)).expect(t, 200)
	for _, secret := range []string{"jack", "s3cret", token, readToken} {
		if strings.Contains(a.text(), secret) {
			t.Errorf("%q in the metrics", secret)
		}
	}
	grown := parseMetrics(t, a.text()).since(before)
	if !maps.Equal(grown, samples{`sould_rejected_requests_total{reason="token"}`: 3, `sould_rejected_requests_total{reason="host"}`: 1}) {
		t.Errorf("after three wrong tokens and a wrong name: %v", grown)
	}
	head := d.do("HEAD", "/x/metrics", nil, "Authorization", bearer(token)).expect(t, 200, "Content-Type", a.Header.Get("Content-Type"))
	if len(head.body) > 0 || head.ContentLength < 1000 {
		t.Errorf("HEAD: %d bytes, length %d", len(head.body), head.ContentLength)
	}
	for _, path := range []string{"/x/metrics", "/x/health/live", "/x/health/ready"} {
		for _, method := range []string{"POST", "PUT", "DELETE"} {
			d.do(method, path, nil).expect(t, 405, "Allow", "GET, HEAD")
		}
	}
	for _, path := range []string{"/x/health/live", "/x/health/ready", "/x/health"} { // need no token
		eventually(t, path, func() bool { return d.get(path).StatusCode == 200 })
		d.get(path).expect(t, 200, "Cache-Control", "no-store").contains(t, "ok\n")
		d.do("HEAD", path, nil).expect(t, 200)
	}
	d.get("//x/health/ready").expect(t, 401) // in no other spelling
}

// TestManyScrapes at once, while mirrors come and change, are all answered in full.
func TestManyScrapes(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t)
	d.pulled("m0", r.Dir)
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 20 {
				a, err := d.try("GET", "/x/metrics", nil)
				if err != nil || a.StatusCode != 200 || a.err != nil {
					t.Errorf("a scrape: %v, %+v", err, a)
					return
				}
				if all := parseMetrics(t, a.text()); all["sould_mirrors{state=\"success\"}"] < 1 {
					t.Errorf("a part of the metrics: %v", all)
				}
			}
		})
	}
	for i := range 10 {
		d.pulled(fmt.Sprintf("m%d", i), r.Dir)
	}
	clients.Wait()
}
