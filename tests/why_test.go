package tests

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// why asks why a mirror is as it is, and checks that the answer says these words in this order.
func (d *daemon) why(name string, status int, words ...string) string {
	d.t.Helper()
	a := d.get("/x/why/"+name).expect(d.t, status, "Content-Type", "text/plain; charset=utf-8", "Cache-Control", "no-store")
	rest := a.text()
	for _, one := range words {
		at := strings.Index(rest, one)
		if at < 0 {
			d.t.Errorf("%s: it does not say %q, or not in its place:\n%s", name, one, a.text())
			return a.text()
		}
		rest = rest[at+len(one):]
	}
	return a.text()
}

// TestWhyOnOneServer goes through the life of a mirror, with what survives a restart.
func TestWhyOnOneServer(t *testing.T) {
	t.Parallel()
	r, server, url := served(t)
	d := start(t, `retry = "1h"`)
	eventually(t, "the storage is read", func() bool { return d.get("/x/health/ready").StatusCode == 200 })
	d.why("my/m", 404, "my/m is not here", "Nobody has asked for it", "Check the spelling.", d.url+"\n")
	d.get("/x/why/..").expect(t, 400)

	// A first pull that fails, and says where to ask.
	server.Close()
	failed := d.post("my/m", url)
	failed.expect(t, 500)
	lines := strings.Split(strings.TrimRight(failed.text(), "\n"), "\n")
	link := "why: " + d.url + "/x/why/my/m"
	if last := lines[len(lines)-1]; last != link || strings.Count(failed.text(), "why:") != 1 {
		t.Errorf("the last line of a failure is %q, not %q", last, link)
	}
	d.why("my/m", 404, "could not be made", "last asked for on", "by 127.0.0.1.", "It failed: can't list refs: ", "See that the origin's server is up")

	// Success, and a restart.
	again := origin.ServeHTTP(t, strings.TrimSuffix(r.Dir, "/origin.git"))
	url = again.URL + "/origin.git"
	if text := d.pulled("my/m", url).text(); strings.Contains(text, "why:") {
		t.Errorf("a success tells where to ask why:\n%s", text)
	}
	said := d.why("my/m", 200, "my/m is as its origin was on", "by 127.0.0.1.", "It succeeded: it read its origin "+url,
		"This server has 1 ref; its default branch main is at "+r.Git("rev-parse", "--short=12", "main"), "It is pulled with the next POST.")
	if strings.Contains(said, "What you can do") {
		t.Errorf("there is nothing to do:\n%s", said)
	}
	d.stop()
	d.run()
	d.why("my/m", 200, "last asked for on", "by 127.0.0.1.", "The next read of it pulls first")

	// It fails, from then on.
	again.Close()
	d.post("my/m", url).expect(t, 500)
	since := sinceWords(t, d.why("my/m", 200, "my/m could not be updated since", "It failed: ", "What is served is what the origin had on", "tries again"))
	d.stop()
	d.run()
	d.get("/my/m").expect(t, 200, "X-State", "failed")
	if got := sinceWords(t, d.why("my/m", 200, "not before")); got != since {
		t.Errorf("it fails since %s, and after a restart since %s", since, got)
	}
	d.get("/x/status").contains(t, "why: /x/why/my/m")

	// The same for a program.
	var answer struct {
		Name, Headline, Level string
		Parts                 []struct {
			Title     string
			Sentences []string
		}
	}
	text := d.get("/x/why/my/m", "Accept", "application/json").expect(t, 200, "Content-Type", "application/json").text()
	if err := json.Unmarshal([]byte(text), &answer); err != nil || answer.Name != "my/m" || answer.Level != "bad" || len(answer.Parts) != 5 {
		t.Errorf("%v in %s", err, text)
	}
	if a := d.do("HEAD", "/x/why/my/m", nil).expect(t, 200); len(a.body) > 0 {
		t.Errorf("HEAD has a body: %s", a.body)
	}
	d.do("POST", "/x/why/my/m", nil).expect(t, 405, "Allow", "GET, HEAD")
}

// sinceWords are the date since when a mirror fails.
func sinceWords(t *testing.T, text string) string {
	_, rest, ok := strings.Cut(text, "could not be updated since ")
	since, _, _ := strings.Cut(rest, " (")
	if !ok {
		t.Errorf("it does not say since when:\n%s", text)
	}
	return since
}

// TestWhyOfRefusals: a request that was refused is remembered, without credentials, and its sender is
// told where to ask.
func TestWhyOfRefusals(t *testing.T) {
	t.Parallel()
	_, _, url := served(t)
	d := prepare(t, fmt.Sprintf("origins = [%q]", url))
	d.flags = nil
	d.run()
	d.pulled("m", url)
	link := "why: " + d.url + "/x/why/m\n"
	for _, c := range []struct {
		origin string
		status int
		words  []string
	}{
		{"/srv/a.git", 400, []string{"A later request of 127.0.0.1", "--unsecure", "start the server with --unsecure"}},
		{"http://jack:s3cret-word@evil.example/a.git", 403, []string{"was refused", "evil.example", "add this one to the key origins"}},
		{url + "/", 200, nil},
	} {
		a := d.post("m", c.origin).expect(t, c.status)
		if got := strings.HasSuffix(a.text(), link); got != (c.status != 200) {
			t.Errorf("%s: the last line tells where to ask: %v\n%s", c.origin, got, a.text())
		}
		text := d.why("m", 200, c.words...)
		tellsNothing(t, []string{"s3cret", "jack"}, text, a.text())
		if c.status == 200 && strings.Contains(text, "refused") {
			t.Errorf("a refusal before the latest request is told:\n%s", text)
		}
	}
	d.reload()
	d.post("m", "http://127.0.0.1:1/b.git").expect(t, 409).contains(t, "move="+url, link)
	d.why("m", 200, "m is as its origin was", "was refused: the mirror exists with the origin "+url, "names the former one: curl", "move="+url)
	d.post("../m", url).expect(t, 400)
	for name, origin := range map[string]string{"none": "ext::sh", "m/below": url} { // there is nothing at the link
		if a := d.post(name, origin); a.StatusCode < 400 || a.StatusCode > 409 || strings.Contains(a.text(), "why:") {
			t.Errorf("a refusal for a name that nobody knows, %s, tells where to ask:\n%s", a.Status, a.text())
		}
	}
	d.why("none", 404, "was refused")
	if a := d.post("", url).expect(t, 400); strings.Contains(a.text(), "why:") {
		t.Errorf("a request without a name tells where to ask:\n%s", a.text())
	}
}

// TestWhyNamesTheServerAsItWasCalled: only what is a host gets into the link.
func TestWhyNamesTheServerAsItWasCalled(t *testing.T) {
	t.Parallel()
	_, _, url := served(t)
	d := start(t)
	d.pulled("m", url)
	for host, want := range map[string]string{
		"Sould.Local": "http://sould.local/x/why/m", "sould.local:81": "http://sould.local:81/x/why/m", "[::1]:81": "http://[::1]:81/x/why/m",
		"a;b": "/x/why/m", "a<b>": "/x/why/m", "a:b": "/x/why/m", "$(x)": "/x/why/m",
	} {
		request, err := http.NewRequest("POST", d.url+"/", form("m", "ext::sh"))
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		request.Header.Set("Content-Type", formType)
		text := answerTo(t, request).text()
		if !strings.HasSuffix(text, "\nwhy: "+want+"\n") {
			t.Errorf("%s: %q", host, text)
		}
	}
}

// answerTo sends a request.
func answerTo(t *testing.T, r *http.Request) answer {
	t.Helper()
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	a := answer{Response: response}
	a.body, a.err = io.ReadAll(response.Body)
	return a
}

// TestWhyInACluster: which server has what, also one that is down.
func TestWhyInACluster(t *testing.T) {
	t.Parallel()
	r, _, url := served(t)
	slave := start(t)
	master := start(t, "master = true", slaves(slave.url, "127.0.0.1:1"), `timeout = "5s"`)
	address := strings.TrimPrefix(slave.url, "http://")
	master.post("m", url).expect(t, 502).contains(t, "why: "+master.url+"/x/why/m\n")
	eventually(t, "the slave has the same", func() bool {
		return strings.Contains(master.get("/x/why/m").text(), "The slave "+address+" has the same.")
	})
	master.why("m", 200, "The slave 127.0.0.1:1 ", "connection refused", "See that 127.0.0.1:1 is up")
	slave.why("m", 200, "by another server of the cluster (127.0.0.1).", "It succeeded")
	slave.why("none", 404, "'http://<master>'", "Send the POST on the master of the cluster")

	// The master goes on alone.
	r.Commit("main", map[string]string{"file": "2"})
	slave.stop()
	master.post("m", url).expect(t, 502)
	slave.launchAgain(address)
	eventually(t, "the slave is behind", func() bool {
		return strings.Contains(master.get("/x/why/m").text(), "m is up to date here, but not on "+address+".")
	})
	master.why("m", 200, "The slave "+address+" is behind (at ", "Nothing is done about what "+address+" has, because the key repair is 0.", "To have "+address+" pull it at once")
	slave.pulled("m", url)
	eventually(t, "it is equal again", func() bool {
		return strings.Contains(master.get("/x/why/m").text(), "The slave "+address+" has the same.")
	})

	// What only another server has.
	slave.pulled("theirs", url)
	master.why("theirs", 404, "theirs is not here", "The slave "+address+" has it")
}

// launchAgain starts a server that was stopped on its former address.
func (d *daemon) launchAgain(address string) {
	d.t.Helper()
	d.configure(fmt.Sprintf("listen = %q", address))
	d.run()
}

// TestWhyOfWhatIsGone: a mirror that was removed, and a storage.
func TestWhyOfWhatIsGone(t *testing.T) {
	t.Parallel()
	_, _, url := served(t)
	const token = "0123456789abcdef0123"
	d := start(t, fmt.Sprintf("token = %q", token))
	d.postAs(bearer(token), "m", url).expect(t, 200)
	d.do("DELETE", "/m", nil, "Authorization", bearer(token)).expect(t, 200)
	said := d.why("m", 404, "m was removed on", "This server has nothing of it.", "To have it again, send a POST: curl", "origin="+url)
	if !strings.Contains(d.page("/").text(), "curl --header") {
		t.Error("the page shows a command without the token")
	}

	// The command does what it says.
	_, command, _ := strings.Cut(said, "send a POST: ")
	command, _, _ = strings.Cut(command, "\n")
	run := exec.Command("sh", "-c", command)
	run.Env = append(os.Environ(), "TOKEN="+token)
	if out, err := run.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", command, err, out)
	}
	d.get("/m").expect(t, 200)
	if err := os.Rename(d.storage, d.storage+".away"); err != nil {
		t.Fatal(err)
	}
	d.why("m", 503, "m cannot be read: the storage of this server cannot be used.", "See that the storage of this server is mounted")
	if err := os.Rename(d.storage+".away", d.storage); err != nil {
		t.Fatal(err)
	}
	d.why("m", 200, "m is as its origin was")
}

// TestWhyWhileItIsMade: a first pull that takes long is explained while it runs.
func TestWhyWhileItIsMade(t *testing.T) {
	t.Parallel()
	url, arrived, held := heldOrigin(t)
	d := start(t)
	done := d.posting("m", url)
	<-arrived
	d.why("m", 200, "m is being made", "A pull runs since", "asking", "Wait")
	held.release()
	(<-done).expect(t, 200)
	d.why("m", 200, "m is as its origin was")
}
