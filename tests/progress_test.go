package tests

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// slowOrigin is an origin whose objects come slowly, so many bytes in a millisecond, until flow is
// called. There are about 700 kB of them.
func slowOrigin(t *testing.T, bytes int) (r *origin.Repo, url string, flow func()) {
	t.Helper()
	r, _, url = served(t)
	files := make(map[string]string)
	noise := rand.New(rand.NewPCG(1, 1))
	for i := range 100 {
		var content strings.Builder
		for range 900 {
			content.WriteString(strconv.FormatUint(noise.Uint64(), 36))
		}
		files[fmt.Sprint(i)] = content.String()
	}
	r.Commit("main", files)
	proxy := origin.NewProxy(t, url)
	proxy.Set(origin.Fault{Drip: time.Millisecond, Drop: bytes})
	_, path, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	return r, "http://" + proxy.Addr + "/" + path, func() { proxy.Set(origin.Fault{}) }
}

// lines are those of an answer while it comes.
type lines struct {
	t    *testing.T
	resp *http.Response
	in   *bufio.Reader
	all  strings.Builder
}

// follow sends a POST that wants to be told of its progress.
func (d *daemon) follow(name, origin, accept string, fields ...string) *lines {
	d.t.Helper()
	l := d.followWith("", accept, name, origin, fields...)
	if l.resp.Header.Get("X-Accel-Buffering") != "no" {
		d.t.Errorf("POST is answered with %v", l.resp.Header)
	}
	return l
}

// followWith is follow with headers, which may be empty. A proxy may keep X-Accel-Buffering for itself.
func (d *daemon) followWith(authorization, accept, name, origin string, fields ...string) *lines {
	d.t.Helper()
	r, err := http.NewRequest("POST", d.url, form(name, origin, append([]string{"progress", "1"}, fields...)...))
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Content-Type", formType)
	for key, value := range map[string]string{"Authorization": authorization, "Accept": accept} {
		if value != "" {
			r.Header.Set(key, value)
		}
	}
	resp, err := cmp.Or(d.client, client).Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != 200 || resp.ContentLength != -1 {
		d.t.Errorf("POST is answered by %s with %v", resp.Status, resp.Header)
	}
	return &lines{t: d.t, resp: resp, in: bufio.NewReader(resp.Body)}
}

// until reads lines up to one that matches.
func (l *lines) until(pattern string) {
	l.t.Helper()
	re := regexp.MustCompile(pattern)
	for {
		line, err := l.in.ReadString('\n')
		l.all.WriteString(line)
		if err != nil {
			l.t.Fatalf("no line like %s came: %v\n%s", pattern, err, &l.all)
		}
		if re.MatchString(line) {
			return
		}
	}
}

// end reads the rest, and returns all lines.
func (l *lines) end() string {
	l.t.Helper()
	rest, err := io.ReadAll(l.in)
	if err != nil {
		l.t.Error(err)
	}
	l.all.Write(rest)
	return l.all.String()
}

// far is how far a transfer is, in words.
const far = `receiving objects \d+ % \(\d+ of \d+\), [0-9.]+ [KM]iB at [0-9.]+ (B|KiB|MiB)/s`

func TestProgressOfAllServers(t *testing.T) {
	t.Parallel()
	r, url, flow := slowOrigin(t, 128)
	below := start(t)
	slave := start(t, "master = true", slaves(below.url))
	d := start(t, "master = true", slaves(slave.url))
	at := regexp.QuoteMeta(strings.TrimPrefix(slave.url, "http://"))
	l := d.follow("m", url, "")
	l.until("^master: " + far)
	l.until("^" + at + "/127.0.0.1:[0-9]+: " + far) // the slave's slave; the slave's own may come in any order
	eventually(t, "the status tells of the pulls", func() bool {
		text := d.get("/x/status?name=m").text()
		return len(regexp.MustCompile(`(?m)pull\n.*progress: `+far+`\n.*from: the origin\n.*since: 20..-`).FindAllString(text, -1)) == 3
	})
	for _, format := range []string{"json", "toml"} {
		text := d.get("/x/status?name=m&format=" + format).text()
		if !regexp.MustCompile(far).MatchString(text) || !regexp.MustCompile(`rate"?( =|:) ?\d`).MatchString(text) {
			t.Errorf("the status is %s", text)
		}
	}
	eventually(t, "so does that of all mirrors", func() bool { return regexp.MustCompile(far).MatchString(d.get("/x/status?upstream=0").text()) })
	flow()
	text := l.end()
	want := regexp.MustCompile(`(?m)^` + at + `: ` + far + `$(?s:.*)^master +[0-9a-f]{12}  1 ref changed  \d+\.\d\ds
` + at + ` +[0-9a-f]{12}  1 ref changed  \d+\.\d\ds
  127\.0\.0\.1:\d+ +[0-9a-f]{12}  1 ref changed  \d+\.\d\ds
status: 200
$`)
	if !want.MatchString(text) || l.resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("the answer is\n%s", text)
	}
	below.get("/m").expect(t, 200, "X-Revision", r.Git("rev-parse", "main"))
	if strings.Contains(d.get("/x/status").text(), "pull\n") {
		t.Error("the status still tells of a pull")
	}
}

func TestProgressInJSON(t *testing.T) {
	t.Parallel()
	_, url, flow := slowOrigin(t, 128)
	slave := start(t)
	d := start(t, "master = true", slaves(slave.url))
	l := d.follow("m", url, "application/x-ndjson")
	l.until(`"rate":[0-9]`)
	l.until(`"address":"127.*"rate":[0-9]`)
	flow()
	all := strings.Split(strings.TrimSpace(l.end()), "\n")
	for i, line := range all {
		var one struct {
			Status             int
			Address, State     string
			Progress           string
			Percent            *int
			Done, Total, Bytes int64
			Revision, Name     string
			Slaves             []struct{ Revision string }
			RefsChanged        int `json:"refs_changed"`
		}
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		isLast := i == len(all)-1
		if isLast != (one.Status == 200 && one.Name == "m" && one.RefsChanged == 1 && len(one.Slaves) == 1 && one.Slaves[0].Revision == one.Revision) {
			t.Errorf("line %d of %d is %s", i, len(all), line)
		}
		if strings.HasPrefix(one.Progress, "receiving") && (one.Total != 105 || one.Percent == nil || one.Done > one.Total || one.State != "processing") {
			t.Errorf("line %d is %s", i, line)
		}
	}
}

// TestProgressKeepsTheStatus: the last line has the status, and what is refused before the work
// begins has it as ever.
func TestProgressKeepsTheStatus(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	slave := newOldSould(t, text(500, "no"))
	d := start(t, "master = true", slaves(slave.URL))
	if text := d.follow("m", r.Dir, "").end(); !strings.HasSuffix(text, "\n└─ pulled: master\nwhy: "+d.url+"/x/why/m\nstatus: 502\n") {
		t.Errorf("the answer is %s", text)
	}
	if text := d.follow("n", r.Dir+"-no", "").end(); !strings.HasSuffix(text, "\nstatus: 503\n") {
		t.Errorf("the answer is %s", text)
	}
	for _, accept := range []string{"*/*", "application/x-ndjson"} {
		headers := []string{"Content-Type", formType, "Accept", accept}
		d.do("POST", "/", form("m", r.Dir+"-other", "progress", "1"), headers...).expect(t, 409)
		d.do("POST", "/", form("..", r.Dir, "progress", "1"), headers...).expect(t, 400)
		d.do("POST", "/", form("m", r.Dir, "progress", "yes"), headers...).expect(t, 400)
		d.do("POST", "/", form("m", strings.Repeat("x", 64<<10), "progress", "1"), headers...).expect(t, 413)
	}
	a := d.do("POST", "/", form("m", r.Dir, "progress", "1"), "Content-Type", formType, "Accept", "application/json")
	a.expect(t, 502)
	if !json.Valid(a.body) {
		t.Errorf("one JSON document is asked for, and the answer is %s", a.text())
	}
	d.post("m", r.Dir, "progress", "0").expect(t, 502)
}

func TestProgressWithWait(t *testing.T) {
	t.Parallel()
	url, arrived, held := heldOrigin(t)
	d := start(t)
	l := d.follow("m", url, "", "wait", "1500")
	<-arrived
	if text := l.end(); !regexp.MustCompile(`^m: asking the origin for its refs\nm \(http.*\): not finished after 1\.\d\ds, the work goes on\n(?s:.*)\nstatus: 202\n$`).MatchString(text) {
		t.Errorf("the answer is %s", text)
	}
	held.release()
	eventually(t, "the mirror", func() bool { return d.get("/m").StatusCode == 200 })
}

// TestProgressOfWhoDoesNotListen: a client that goes away, and one that never reads, hold nothing up.
func TestProgressOfWhoDoesNotListen(t *testing.T) {
	t.Parallel()
	url, arrived, held := heldOrigin(t)
	slave := start(t)
	d := start(t, "master = true", slaves(slave.url))
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := fields("deaf", url) + "&progress=1"
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", formType, len(body), body)
	l := d.follow("gone", url, "")
	for range 4 {
		<-arrived
	}
	l.until("^master: asking the origin")
	l.resp.Body.Close()
	held.release()
	for _, name := range []string{"deaf", "gone"} {
		eventually(t, "the mirrors", func() bool { return d.get("/"+name).StatusCode == 200 && slave.get("/"+name).StatusCode == 200 })
		d.wait("propagated mirror=" + name)
	}
}

// TestProgressOfAnOlderSlave: a slave that does not know the field, and one that says what it wants,
// endlessly or with secrets.
func TestProgressOfAnOlderSlave(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	token := "the-token-of-the-cluster"
	old := newOldSould(t, text(200, "ok\n"))
	stream := func(lines ...string) string {
		return newOldSould(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/x-ndjson")
			io.WriteString(w, strings.Join(lines, "\n")+"\n")
			w.(http.Flusher).Flush()
			if len(lines) > 0 && lines[0] == "without end" {
				for _, err := io.WriteString(w, strings.Repeat("x\n", 1<<15)); err == nil; _, err = io.WriteString(w, strings.Repeat("x\n", 1<<15)) {
				}
			}
		}).URL
	}
	evil := stream(`{"progress":"evil\u001b[2J `+token+`","state":"x","address":"a\nstatus: 200"}`, "{", `[]`, "",
		`{"status":500,"state":"failed","error":"no `+token+`","hierarchical_error":"no"}`)
	d := start(t, "master = true", `token = "`+token+`"`, "timeout = 10000",
		slaves(old.URL, evil, stream("without end"), stream(`{"progress":"x"}`), stream(`{"status":7}`)))
	a := d.do("POST", "/", form("m", r.Dir, "progress", "1"), "Content-Type", formType, "Authorization", "Bearer "+token)
	a.expect(t, 200)
	tellsNothing(t, []string{token, "\x1b"}, a.text(), d.log.String())
	for _, words := range []string{
		"it tells of its progress in more than", "it broke off before it said how it ended", "it ended with the status 7, which is none",
		"pulled: master, " + strings.TrimPrefix(old.URL, "http://"), "\n│  └─ no\n",
	} {
		if !strings.Contains(a.text(), words) {
			t.Errorf("the answer lacks %q:\n%s", words, a.text())
		}
	}
	if form := old.sent()[0]; form.Get("progress") != "1" {
		t.Errorf("the slave was sent %v", form)
	}
	d.do("POST", "/", form("m", r.Dir), "Content-Type", formType, "Authorization", "Bearer "+token)
	if form := old.sent()[1]; form.Has("progress") {
		t.Errorf("the slave was sent %v", form)
	}
}

// TestProgressThroughCurl: a line comes when it was written, and not with the end.
func TestProgressThroughCurl(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl on this machine")
	}
	url, _, held := heldOrigin(t)
	d := start(t)
	cmd := exec.Command("curl", "--silent", "--no-buffer", "--data", "progress=1&"+fields("m", url), d.url)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	l := &lines{t: t, in: bufio.NewReader(out)}
	l.until("^m: asking the origin for its refs\n$")
	held.release()
	if text := l.end(); !strings.HasSuffix(text, "\nstatus: 200\n") {
		t.Errorf("curl shows\n%s", text)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// TestLongProgress: the log tells every half a minute how far a transfer is, which takes the long
// form as long.
func TestLongProgress(t *testing.T) {
	if !soak() {
		t.Skip("it takes more than half a minute: make soak")
	}
	_, url, flow := slowOrigin(t, 12)
	d := start(t)
	l := d.follow("m", url, "")
	re := regexp.MustCompile(`INFO a pull takes long mirror=m request=[A-Z0-9]+ since=20\S+Z took=3\d\.\d\ds from="the origin" step="` + far)
	if !within(patient+10*time.Second, func() bool { return re.MatchString(d.log.String()) }) {
		t.Errorf("the log is\n%s", d.log)
	}
	flow()
	if text := l.end(); strings.Count(text, "receiving objects") < 10 || !strings.HasSuffix(text, "status: 200\n") {
		t.Errorf("the answer is\n%s", text)
	}
}
