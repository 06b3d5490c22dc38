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
	again := master.do("POST", "/", form("m", url), "Content-Type", formType, "Accept", "application/json").expect(t, 503).report(t)
	for _, slave := range again.Slaves {
		if !strings.Contains(slave.Error, "; no peer can reach the origin either") {
			t.Errorf("one line, in which nothing parts two reasons: %q", slave.Error)
		}
	}
}

// TestPostsThatAreWrong say what is missing, and where it belongs.
func TestPostsThatAreWrong(t *testing.T) {
	t.Parallel()
	d := start(t)
	fields := "name=m&origin=https://jack:secret@git.in.local/x.git"
	for _, c := range []struct {
		method, path, body, kind string
		status                   int
		want                     string
	}{
		{"POST", "/?" + fields, "", "", 400, "name and origin must be in the body of the POST, and not in its URL: curl --data "},
		{"POST", "/?name=m", "origin=https://git.in.local/x.git", formType, 400, "name must be in the body of the POST"},
		{"POST", "/?x=y", "", formType, 400, "the body of the POST lacks name and origin: curl --data "},
		{"POST", "/", "name=m", formType, 400, "the body of the POST lacks origin: "},
		{"POST", "/", "name=&origin=https://git.in.local/x.git", formType, 400, "the body of the POST lacks name: "},
		{"POST", "/m", fields, formType, 405, "POST is for /, and not for /m: the name of the mirror goes into the body: curl --data "},
		{"POST", "/x/status", fields, formType, 405, "POST is not for /x/status; allowed: GET, HEAD"},
		{"PUT", "/m", fields, formType, 405, "PUT is not for /m; allowed: GET, HEAD, DELETE"},
		{"POST", "/", `{"name":"m"}`, "application/json", 415, `the body must be application/x-www-form-urlencoded, not "application/json": curl --data `},
	} {
		a := d.do(c.method, c.path, strings.NewReader(c.body), "Content-Type", c.kind).expect(t, c.status).contains(t, c.want)
		if strings.Contains(a.text(), "secret") {
			t.Errorf("%s %s: a password in %s", c.method, c.path, a.text())
		}
	}
}
