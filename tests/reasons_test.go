package tests

import (
	"fmt"
	"strings"
	"testing"
)

// TestOneCauseIsToldOnce: in a cluster whose servers are each other's peers, a push fails on all of
// them because the origin is down. Who pushed and who reads the log see that once, not once for each
// server that has asked each other one, and nothing that speaks against it.
func TestOneCauseIsToldOnce(t *testing.T) {
	t.Parallel()
	_, server, url := served(t)
	var all [3]*daemon
	for i := range all {
		all[i] = start(t)
	}
	master, one, two := all[0], all[1], all[2]
	for _, d := range all {
		lines := []string{peers(one.url, two.url, master.url), fmt.Sprintf("listen = %q", strings.TrimPrefix(d.url, "http://"))}
		if d == master {
			lines = append(lines, "master = true", slaves(one.url, two.url))
		}
		d.reload(lines...)
	}
	master.pulled("m", url)
	before := len(master.log.String())
	server.Close()

	said := master.post("m", url).expect(t, 503).text()
	if n := strings.Count(said, "can't list refs"); n != 1 || strings.Count(said, "\n") > 10 {
		t.Errorf("the cause is told %d times:\n%s", n, said)
	}
	everybody := "├─ master, slave " + strings.TrimPrefix(one.url, "http://") + ", slave " + strings.TrimPrefix(two.url, "http://") + "\n│  └─ can't list refs\n"
	if !strings.Contains(said, everybody) || !strings.Contains(said, "no peer can reach the origin either") {
		t.Errorf("it does not say of whom it is true:\n%s", said)
	}
	master.wait("not on all servers mirror=m")
	if log := master.log.String()[before:]; strings.Count(log, "\n") > 25 || strings.Count(log, "ERROR") != 2 {
		t.Errorf("the log has %d lines:\n%s", strings.Count(log, "\n"), log)
	}
	for _, d := range all {
		if text := d.get("/x/status").text() + d.log.String(); strings.Contains(text, "this very server") || strings.Contains(text, "could help") {
			t.Errorf("%s tells of itself, or speaks against itself:\n%s", d.url, text)
		}
	}
	for _, query := range []string{"", "&name=m"} {
		if u := master.status(query).Upstream; u.Total != 2 || u.Success != 0 || u.Failed != 2 || u.FailedPercent != 100 || u.Error != 0 {
			t.Errorf("the status counts %+v", u)
		}
	}
	if m := one.status("&name=m").Mirrors[0]; !strings.Contains(m.Error, "; no peer can reach the origin either") {
		t.Errorf("one line, in which nothing parts two reasons: %q", m.Error)
	}
}
