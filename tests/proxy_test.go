package tests

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// TestBehindAProxy starts what docs/behind-a-proxy.md shows, before a master and a slave, and asks
// through it.
func TestBehindAProxy(t *testing.T) {
	t.Parallel()
	lines := func() []string {
		return []string{`listen = "127.0.0.1:` + freePort(t) + `"`, fmt.Sprintf("token = %q", token),
			`allow_hosts = ["127.0.0.1", "sould.local"]`, `log_level = "debug"`, `public_url = "https://sould.local"`}
	}
	slave := start(t, lines()...)
	master := start(t, append(lines(), "master = true", slaves(slave.url))...)
	r := bigOrigin(t, 1)
	proxies := map[string]*proxy{"nginx": startNginx(t, master, slave), "haproxy": startHaproxy(t, master, slave)}
	each := func(what string, do func(*proxy)) {
		for program, p := range proxies {
			t.Run(what+" "+program, func(t *testing.T) {
				if p == nil {
					t.Skipf("no %s on this machine", program)
				}
				p.t = t
				do(p)
			})
		}
	}
	each("through", func(p *proxy) {
		a := p.postAs(bearer(token), "team/big", r.Dir).expect(p.t, 200)
		if !strings.Contains(a.text(), strings.TrimPrefix(slave.url, "http://")+" ") {
			p.t.Errorf("a POST is not for the master:\n%s", a.text())
		}
		p.postAs(bearer(stranger), "team/big", r.Dir).expect(p.t, 401)
		p.postAs(bearer(token), "team/none", r.Dir+"/none").expect(p.t, 503).contains(p.t, "\nwhy: https://sould.local/x/why/team/none\n")
		p.askRanges("team/big")
		p.cloneBig("team/big", r)
		p.waitForPulls()
		p.do("DELETE", "/deaf", nil, "Authorization", bearer(token)).expect(p.t, 200)
		p.do("DELETE", "/heard", nil, "Authorization", bearer(token)).expect(p.t, 200)
	})
	if proxies["nginx"] == nil && proxies["haproxy"] == nil {
		return
	}
	master.wait(`DEBUG request method=POST path=/ .*proxy_request=\w`)

	slave.kill()
	each("the slave is down", (*proxy).stillReads)
	slave.launch()
	slave.wait("INFO started")
	each("the slave is back", (*proxy).isReady)
	eventually(t, "haproxy sees it", func() bool {
		p := proxies["haproxy"]
		return p == nil || strings.Count(p.said.String(), "any/slave1 is DOWN") == strings.Count(p.said.String(), "any/slave1 is UP")
	})
	master.kill()
	each("the master is down", (*proxy).stillReads)
}

// proxy is one before a master and a slave. It is asked as a daemon is.
type proxy struct {
	daemon
	caFile string
	said   *logText // what it has printed
}

func startNginx(t *testing.T, master, slave *daemon) *proxy {
	return startProxy(t, "nginx", master, slave, func(dir, block string) (arguments []string) {
		conf := fmt.Sprintf("daemon off; user root root; pid %[1]s/pid; error_log %[1]s/error; worker_processes 1; events {}\nhttp { access_log off;\n", dir)
		for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			conf += fmt.Sprintf("%s_temp_path %s/%s;\n", kind, dir, kind)
		}
		write(t, filepath.Join(dir, "conf"), conf+block+"}\n")
		return []string{"-c", filepath.Join(dir, "conf"), "-e", filepath.Join(dir, "error")}
	})
}

func startHaproxy(t *testing.T, master, slave *daemon) *proxy {
	return startProxy(t, "haproxy", master, slave, func(dir, block string) (arguments []string) {
		write(t, filepath.Join(dir, "conf"), block)
		return []string{"-db", "-f", filepath.Join(dir, "conf")}
	})
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// startProxy starts a proxy with the configuration that the page shows. It returns nil if there is no such
// program. prepare writes that into a directory, and returns the arguments that start the program with it.
func startProxy(t *testing.T, program string, master, slave *daemon, prepare func(dir, block string) (arguments []string)) *proxy {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + program); err != nil {
			return nil
		}
	}
	authority := newAuthority(t)
	_, serial := authority.issue()
	cert := filepath.Join(authority.dir, fmt.Sprint(serial))
	write(t, cert+"-with-key.pem", read(t, cert+".pem")+read(t, cert+".key"))
	port := freePort(t)
	block := adapt(t, blocks(t, "behind-a-proxy.md", program)[0], "master.internal:8080", strings.TrimPrefix(master.url, "http://"),
		"slave1.internal:8080", strings.TrimPrefix(slave.url, "http://"), "/etc/ssl/sould", cert)
	block = strings.NewReplacer("listen 443", "listen 127.0.0.1:"+port, "bind :443", "bind 127.0.0.1:"+port).Replace(block)
	cmd := exec.Command(path, prepare(t.TempDir(), block)...)
	p := &proxy{*master, authority.file, &logText{}}
	p.url, p.client = "https://127.0.0.1:"+port, authority.client()
	cmd.Stdout, cmd.Stderr = p.said, p.said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s says\n%s", program, p.said)
		}
	})
	p.isReady()
	return p
}

// isReady waits until a server answers through the proxy.
func (p *proxy) isReady() {
	p.t.Helper()
	eventually(p.t, p.url+" answers", func() bool {
		a, err := p.try("GET", "/x/health/ready", nil)
		return err == nil && a.StatusCode == 200
	})
}

// askRanges asks for an archive, for parts of it, and whether it has changed.
func (p *proxy) askRanges(name string) {
	p.t.Helper()
	path := "/" + name + "?format=tar.gz"
	whole := p.get(path).expect(p.t, 200, "Accept-Ranges", "bytes")
	tag := whole.Header.Get("ETag")
	part := p.get(path, "Range", "bytes=70000-99999", "If-Range", tag).expect(p.t, 206, "ETag", tag)
	if string(part.body) != string(whole.body[70000:100000]) {
		p.t.Errorf("a part of %d bytes is another one than that of the whole", len(part.body))
	}
	p.get(path, "If-None-Match", tag).expect(p.t, 304)
	p.get(path, "Range", "bytes=99999999-").expect(p.t, 416)
	p.do("HEAD", path, nil).expect(p.t, 200, "ETag", tag, "Content-Length", fmt.Sprint(len(whole.body)))
	p.get("/"+name+"?path=%2e%2e").expect(p.t, 400) // it comes as it was sent
	p.get("/"+name+"/info/refs?service=git-receive-pack").expect(p.t, 403)
}

// cloneBig clones a mirror with git, and then as a client that has so many commits which the mirror lacks
// that it needs more than a megabyte to say so. Its body has no length that is known beforehand.
func (p *proxy) cloneBig(name string, r *origin.Repo) {
	p.t.Helper()
	for _, version := range protocols {
		dir := filepath.Join(p.t.TempDir(), "clone")
		if out, err := gitClient(version, "-c", "http.sslCAInfo="+p.caFile, "clone", "--quiet", "--mirror", p.url+"/"+name, dir); err != nil {
			p.t.Fatalf("protocol %s: %v\n%.2000s", version, err, out)
		}
		if refs(p.t, dir) != refs(p.t, r.Dir) {
			p.t.Errorf("protocol %s: the clone has other refs than the origin", version)
		}
	}
	var question strings.Builder
	question.WriteString(line("want "+r.Git("rev-parse", "main")+" ofs-delta\n") + "0000")
	for range 24000 {
		question.WriteString(line(fmt.Sprintf("have %040x\n", asked.Add(1))))
	}
	question.WriteString(line("done\n"))
	a := p.do("POST", "/"+name+"/git-upload-pack", io.MultiReader(strings.NewReader(question.String())), "Content-Type", cloneRequest)
	if a.expect(p.t, 200); a.err != nil || !strings.HasPrefix(a.text(), "0008NAK\nPACK") {
		p.t.Errorf("%d bytes are answered by %d, %v", question.Len(), len(a.body), a.err)
	}
}

// waitForPulls follows a pull that takes as long as it likes, line by line, and another one without a
// word until it is done.
func (p *proxy) waitForPulls() {
	t := p.t
	_, server, url := served(t)
	held := newHold(t)
	server.Before(func(*http.Request) { held.wait() })
	watched := p.watch()
	silent := p.posting("deaf", url, "Authorization", bearer(token))
	eventually(t, "a pull", func() bool { return strings.Contains(p.get("/x/status?name=deaf").text(), "asking the origin") })
	if a := <-watched; a.StatusCode != 200 {
		t.Errorf("who waits for news gets %s", a.Status)
	}
	l := p.followWith(bearer(token), "", "heard", url)
	l.until("^master: asking the origin")
	select {
	case a := <-silent:
		t.Errorf("a POST is answered before its work is done: %s\n%s", a.Status, a.text())
	default:
	}
	held.release()
	if text := l.end(); !strings.HasSuffix(text, "\nstatus: 200\n") {
		t.Errorf("progress ends with\n%s", text)
	}
	if a := <-silent; a.StatusCode != 200 {
		t.Errorf("%s\n%s", a.Status, a.text())
	}
}

// watch asks for the page as soon as it is another one than now: with 304 if that takes too long.
func (p *proxy) watch() <-chan answer {
	p.t.Helper()
	tag := p.page("/").expect(p.t, 200).Header.Get("ETag")
	news := make(chan answer, 1)
	go func() {
		a, err := p.try("GET", "/?wait=25s", nil, "Accept", browserAccept, "If-None-Match", tag)
		if err != nil {
			a.Response = &http.Response{Status: err.Error()}
		}
		news <- a
	}()
	return news
}

// stillReads reads from whoever is left. A proxy may need a moment to find out who that is.
func (p *proxy) stillReads() {
	p.t.Helper()
	eventually(p.t, "an archive comes", func() bool {
		a := p.get("/team/big?format=tar.gz")
		return a.StatusCode == 200 && a.err == nil && a.Header.Get("X-Revision") != ""
	})
}
