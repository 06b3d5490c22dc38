package tests

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	fake "github.com/reconquest/sould/tests/forge"
	"github.com/reconquest/sould/tests/origin"
)

// forgeWith is a forge of a kind, and the git server of its repositories, which have these paths.
func forgeWith(t *testing.T, kind string, paths ...string) (f *fake.Forge, root string, repo func(id int64, path string) fake.Repo) {
	t.Helper()
	root = t.TempDir()
	server := origin.ServeHTTP(t, root)
	repo = func(id int64, path string) fake.Repo {
		return fake.Repo{ID: id, Path: path, Clone: server.URL + "/" + path + ".git", SSH: "git@127.0.0.1:" + path + ".git"}
	}
	f = fake.Serve(t, kind)
	for i, path := range paths {
		dir := filepath.Join(root, path+".git")
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			t.Fatal(err)
		}
		origin.New(t, dir).Commit("main", map[string]string{"file": path})
		f.Repos = append(f.Repos, repo(int64(i+1), path))
	}
	return f, root, repo
}

// discovery is a [[discover]] of a forge.
func discovery(f *fake.Forge, kind string, lines ...string) string {
	return fmt.Sprintf("[[discover]]\nforge = %q\nurl = %q\ninterval = \"1s\"\nprefix = \"forge/\"\n", kind, f.URL) + strings.Join(lines, "\n")
}

// rounds waits until a forge has been asked for its list so many times more.
func rounds(t *testing.T, f *fake.Forge, n int) {
	t.Helper()
	f.Asked()
	total := 0
	eventually(t, "rounds of discovery", func() bool { total += len(f.Asked()); return total >= n })
}

// TestDiscovery goes through the life of a forge's repositories, with a master and a slave.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	f, root, repo := forgeWith(t, "gitea", "acme/one", "acme/two", "acme/old", "acme/copy", "other/one")
	f.Repos[2].Archived, f.Repos[3].Fork = true, true
	f.Token = "a-token-of-the-forge"
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(f.Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	slave := start(t, tokenLine)
	lines := []string{tokenLine, "master = true", fmt.Sprintf("slaves = [%q]", slave.url), discovery(f, "gitea", `groups = ["acme"]`, fmt.Sprintf("token_file = %q", token))}
	d := start(t, lines...)
	d.wait(`INFO discovered table=127.0.0.1/acme found=4 new=2 moved=0 failed=0 left_out="1 archived \(such as acme/old\), 1 forks \(such as acme/copy\)"`)
	for _, one := range []*daemon{d, slave} {
		for _, name := range []string{"/forge/acme/one", "/forge/acme/two"} { // the slave may have it a moment later
			eventually(t, name, func() bool { return one.get(name).StatusCode == 200 })
		}
		for _, name := range []string{"/forge/acme/old", "/forge/acme/copy", "/forge/other/one"} {
			one.get(name).expect(t, 404)
		}
	}
	d.why("forge/acme/one", 200, "by the discovery of 127.0.0.1/acme")

	// One is renamed: its mirror follows, and keeps its name.
	if err := os.Rename(filepath.Join(root, "acme/one.git"), filepath.Join(root, "acme/uno.git")); err != nil {
		t.Fatal(err)
	}
	f.Change(func(f *fake.Forge) { f.Repos[0] = repo(1, "acme/uno") })
	d.wait(`INFO a mirror follows its repository mirror=forge/acme/one .*to=\S+/acme/uno.git`)
	for _, one := range []*daemon{d, slave} {
		eventually(t, "the new origin", func() bool {
			return strings.Contains(one.get("/x/status?format=json&name=forge/acme/one").text(), "/acme/uno.git")
		})
		one.get("/forge/acme/uno").expect(t, 404)
	}

	// Another one is removed here: it is not made again.
	d.remove("forge/acme/two").expect(t, 200)
	d.wait(`left_out=.*1 whose mirror was removed here`)
	rounds(t, f, 2)
	d.get("/forge/acme/two").expect(t, 404)

	// The forge is broken: nothing changes.
	f.Change(func(f *fake.Forge) {
		f.Fault = func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<html>Please log in")
			return true
		}
	})
	d.wait(`ERROR can't list the repositories of a forge; what is mirrored stays table=127.0.0.1/acme\n\s*it answers with "text/html" instead of a list: is that a page to log in\?`)
	rounds(t, f, 1)
	for _, form := range []string{"json", "toml", "hierarchical"} {
		if text := d.get("/x/status?format=" + form).text(); !strings.Contains(text, "is that a page to log in?") || !strings.Contains(text, "whose mirror was removed here") {
			t.Errorf("the status does not tell of discovery:\n%s", text)
		}
	}
	if text := d.get("/", "Accept", "text/html").text(); !strings.Contains(text, "is that a page to log in?") || !strings.Contains(text, "4 found, 1 wanted") {
		t.Errorf("the page does not tell of discovery:\n%s", text)
	}
	metrics := d.get("/x/metrics").text()
	for _, line := range []string{`sould_discovery_failing{table="127.0.0.1/acme"} 1`, `sould_discovery_mirrors_total{action="made",table="127.0.0.1/acme"} 2`,
		`sould_discovery_repositories{state="found",table="127.0.0.1/acme"} 4`} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
	f.Change(func(f *fake.Forge) { f.Fault, f.Repos = nil, f.Repos[1:] })

	// What is gone from the forge is kept, and marked, until it is back.
	d.wait(`WARN a repository is gone from its forge; its mirror is kept mirror=forge/acme/one`)
	if text := d.get("/x/status?format=json&name=forge/acme/one").text(); !strings.Contains(text, `"gone_by":"the discovery of 127.0.0.1/acme"`) {
		t.Errorf("the status does not say that it is gone:\n%s", text)
	}
	d.get("/forge/acme/one").expect(t, 200)
	f.Change(func(f *fake.Forge) { f.Repos = append(f.Repos, repo(1, "acme/uno")) })
	d.wait(`INFO a repository is back at its forge mirror=forge/acme/one`)
	if text := d.get("/x/status?format=json&name=forge/acme/one").text(); strings.Contains(text, "gone") {
		t.Errorf("the status says that it is gone:\n%s", text)
	}

	// A table that is removed leaves its mirrors, and asks no more.
	d.reload(lines[:3]...)
	f.Asked()
	d.postWithToken("forge/acme/one", repo(1, "acme/uno").Clone).expect(t, 200)
	if asked := f.Asked(); len(asked) > 0 {
		t.Errorf("the forge is still asked: %v", asked)
	}
	if strings.Contains(d.log.String(), f.Token) {
		t.Error("the log has the token")
	}
}

// TestDiscoveryAfterARestart asks only for what has changed, and knows what it knew.
func TestDiscoveryAfterARestart(t *testing.T) {
	t.Parallel()
	f, root, repo := forgeWith(t, "github", "acme/one")
	d := start(t, "master = true", discovery(f, "github", `groups = ["acme"]`))
	d.wait("INFO discovered .*new=1")
	d.stop()
	f.Asked()
	d.run()
	eventually(t, "a round", func() bool {
		asked := f.Asked()
		if len(asked) > 0 && asked[0].Status != http.StatusNotModified {
			t.Fatalf("after a restart it was asked %+v", asked)
		}
		return len(asked) > 0
	})
	d.stop()
	if err := os.Rename(filepath.Join(root, "acme/one.git"), filepath.Join(root, "acme/uno.git")); err != nil {
		t.Fatal(err)
	}
	f.Change(func(f *fake.Forge) { f.Repos[0] = repo(1, "acme/uno") })
	d.run()
	d.wait("INFO a mirror follows its repository mirror=forge/acme/one")
}

// TestDiscoveryIsKilled in its first round: what it has made by then follows its repository.
func TestDiscoveryIsKilled(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	server := origin.ServeHTTP(t, root)
	held := newHold(t)
	server.Before(func(r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/two.git") {
			held.wait()
		}
	})
	for _, name := range []string{"one", "two"} {
		origin.New(t, filepath.Join(root, name+".git")).Commit("main", map[string]string{"file": name})
	}
	repo := func(id int64, name string) fake.Repo {
		return fake.Repo{ID: id, Path: "acme/" + name, Clone: server.URL + "/" + name + ".git"}
	}
	f := fake.Serve(t, "gitea", repo(1, "one"), repo(2, "two"))
	d := start(t, `list_timeout = "10m"`, "master = true", discovery(f, "gitea", `groups = ["acme"]`))
	eventually(t, "it is written down", func() bool {
		states, _ := filepath.Glob(filepath.Join(d.storage, ".sould/discover/*.json"))
		return len(states) == 1 && strings.Contains(read(t, states[0]), `"made":true`)
	})
	d.kill()
	held.release()
	if err := os.Rename(filepath.Join(root, "one.git"), filepath.Join(root, "uno.git")); err != nil {
		t.Fatal(err)
	}
	f.Change(func(f *fake.Forge) { f.Repos[0] = repo(1, "uno") })
	d.run()
	d.wait(`INFO discovered .*new=1 moved=1 `)
	d.get("/forge/acme/one").expect(t, 200)
	d.get("/forge/acme/uno").expect(t, 404)
}

// TestTwoDiscoveries has two tables that find one repository: one of them has it.
func TestTwoDiscoveries(t *testing.T) {
	t.Parallel()
	f, _, _ := forgeWith(t, "gitlab", "acme/one", "acme/tools/two")
	second := strings.Replace(discovery(f, "gitlab", "all = true"), "forge/", "all/", 1)
	d := start(t, "master = true", discovery(f, "gitlab", `groups = ["acme"]`), second)
	d.wait(`left_out="2 found by another table`)
	rounds(t, f, 4)
	d.logged("found by another table", 1)
	status := d.get("/x/status?format=json").text()
	if n := strings.Count(status, `"name":"`); n != 2 {
		t.Errorf("there are %d mirrors:\n%s", n, status)
	}
}

// TestDiscoveryRests sees that neither a reload nor a restart ends the pause that a forge has asked for. Another
// token does.
func TestDiscoveryRests(t *testing.T) {
	t.Parallel()
	f := fake.Serve(t, "gitea", fake.Many("acme", 1)...)
	f.Left = 0
	table := discovery(f, "gitea", `groups = ["acme"]`)
	d := start(t, "master = true", table)
	d.wait(`ERROR can't list .*\n.*it wants to be left alone for`)
	f.Asked()
	other, _, _ := forgeWith(t, "list", "acme/one")
	d.reload("master = true", table, discovery(other, "list"))
	d.wait(`INFO discovered .*new=1`)
	rounds(t, other, 2)
	d.kill()
	d.run()
	rounds(t, other, 2)
	if asked := f.Asked(); len(asked) > 0 {
		t.Errorf("the forge was asked %v", asked)
	}
	token := filepath.Join(t.TempDir(), "token")
	write(t, token, "another-token-of-the-forge\n")
	d.reload("master = true", table+fmt.Sprintf("\ntoken_file = %q", token), discovery(other, "list"))
	eventually(t, "it is asked with another token", func() bool { return len(f.Asked()) > 0 })
}

// TestRemovedAndForgotten: what a DELETE has removed is not made again, also if discovery does not know that it was
// there: a kill may have cut off the round that has made it.
func TestRemovedAndForgotten(t *testing.T) {
	t.Parallel()
	f, _, repo := forgeWith(t, "gitea", "acme/one", "acme/two")
	d := start(t, tokenLine, "master = true", discovery(f, "gitea", `groups = ["acme"]`))
	d.wait(`INFO discovered .*new=2`)
	d.remove("forge/acme/one").expect(t, 200)
	d.kill()
	if err := os.RemoveAll(filepath.Join(d.storage, ".sould/discover")); err != nil {
		t.Fatal(err)
	}
	d.run()
	d.wait(`INFO discovered .*new=0 .*left_out="1 whose mirror was removed here \(such as acme/one\)"`)
	d.get("/forge/acme/one").expect(t, 404)
	d.postWithToken("forge/acme/one", repo(1, "acme/one").Clone).expect(t, 200)
	rounds(t, f, 2)
	d.get("/forge/acme/one").expect(t, 200)
}

// TestRenamedWhilePulled: a repository that is found under its new name while a pull from the old one runs is followed
// in the same round.
func TestRenamedWhilePulled(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	server := origin.ServeHTTP(t, root)
	one := origin.New(t, filepath.Join(root, "one.git"))
	one.Commit("main", map[string]string{"file": "1"})
	f := fake.Serve(t, "gitea", fake.Repo{ID: 1, Path: "acme/one", Clone: server.URL + "/one.git"})
	d := start(t, "master = true", discovery(f, "gitea", `groups = ["acme"]`))
	d.wait(`INFO discovered .*new=1`)
	arrived, held := make(chan bool, 64), newHold(t)
	server.Before(func(r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/one.git") {
			arrived <- true
			held.wait()
		}
	})
	posted := d.posting("forge/acme/one", server.URL+"/one.git")
	<-arrived
	origin.New(t, filepath.Join(root, "uno.git")).Commit("main", map[string]string{"file": "2"})
	f.Asked()
	f.Change(func(f *fake.Forge) { f.Repos[0].Path, f.Repos[0].Clone = "acme/uno", server.URL+"/uno.git" })
	eventually(t, "a round", func() bool { return len(f.Asked()) > 0 }) // and then none, until the pull is over
	held.release()
	(<-posted).expect(t, 200)
	d.wait(`INFO a mirror follows its repository mirror=forge/acme/one .*to=\S+/uno.git`)
	d.logged("not all that was discovered can be mirrored", 0)
}

// TestRepositoryIsBack: a mirror is marked as gone by whoever, and it is enough that the forge lists it again. Here
// the server has died before discovery could write down that it had marked it.
func TestRepositoryIsBack(t *testing.T) {
	t.Parallel()
	f, _, _ := forgeWith(t, "gitea", "acme/one", "acme/two")
	d := start(t, "master = true", discovery(f, "gitea", `groups = ["acme"]`))
	d.wait(`INFO discovered .*new=2`)
	one := f.Repos[0]
	states, err := filepath.Glob(filepath.Join(d.storage, ".sould/discover/*.json"))
	if err != nil || len(states) != 1 {
		t.Fatal(states, err)
	}
	before, err := os.ReadFile(states[0])
	if err != nil {
		t.Fatal(err)
	}
	f.Change(func(f *fake.Forge) { f.Repos = f.Repos[1:] })
	d.wait(`WARN a repository is gone from its forge; its mirror is kept mirror=forge/acme/one`)
	d.kill()
	if err := os.WriteFile(states[0], before, 0o600); err != nil {
		t.Fatal(err)
	}
	f.Change(func(f *fake.Forge) { f.Repos = append(f.Repos, one) })
	d.run()
	d.wait(`INFO a repository is back at its forge mirror=forge/acme/one`)
	if text := d.get("/x/status?format=json&name=forge/acme/one").text(); strings.Contains(text, "gone") {
		t.Errorf("the status says that it is gone:\n%s", text)
	}
}

// TestWhoDiscovers: a server that stands alone does, and a slave leaves it to its master. The policy of
// origins holds.
func TestWhoDiscovers(t *testing.T) {
	t.Parallel()
	f, _, _ := forgeWith(t, "list", "acme/one", "other/two")
	alone := start(t, discovery(f, "list"))
	alone.wait(`INFO discovered .*found=2 new=2 `)
	alone.kill()

	slave := start(t)
	master := start(t, "master = true", fmt.Sprintf("slaves = [%q]", slave.url))
	master.post("told", origin.New(t, filepath.Join(t.TempDir(), "told.git")).Dir).expect(t, 200)
	f.Asked()
	slave.reload(discovery(f, "list"))
	slave.wait(`INFO discovery is left to the master`)
	if asked := f.Asked(); len(asked) > 0 {
		t.Errorf("a slave has asked %v", asked)
	}
	base := strings.TrimSuffix(f.Repos[0].Clone, "one.git")
	slave.reload("master = true", fmt.Sprintf("origins = [%q]", base), discovery(f, "list"))
	slave.wait(`INFO discovered .*found=2 new=1 .*left_out="1 of an origin that this server may not mirror`)
}

// TestDiscoveryDoesNotWaitForSlaves: one that answers nothing holds up no new mirror here.
func TestDiscoveryDoesNotWaitForSlaves(t *testing.T) {
	t.Parallel()
	f, _, _ := forgeWith(t, "list", "acme/1", "acme/2", "acme/3", "acme/4", "acme/5", "acme/6")
	over := make(chan struct{})
	silent := func(http.ResponseWriter, *http.Request) { <-over }
	slave := hostileSlave(t, silent, silent)
	t.Cleanup(func() { close(over) })
	d := start(t, "master = true", slaves(slave), `timeout = "1h"`, discovery(f, "list"))
	d.wait(`INFO discovered .*found=6 new=6 `)
}

// TestCheckOfDiscovery shows what would be mirrored of an organisation of 5,000, and mirrors nothing.
func TestCheckOfDiscovery(t *testing.T) {
	t.Parallel()
	f := fake.Serve(t, "github", fake.Many("acme", 5000)...)
	f.Repos[0].Archived = true
	d := prepare(t, discovery(f, "github", `groups = ["acme"]`, `exclude = ["*-00002"]`))
	check := func(lines ...string) (string, error) {
		d.configure(lines...)
		cmd := exec.Command(binary, "--check", "--discover", "-c", d.conf)
		cmd.Env = environ()
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	text, err := check(discovery(f, "github", `groups = ["acme"]`, `exclude = ["*-00002"]`))
	if err != nil || !strings.Contains(text, "forge/acme/repo-04999 <- https://forge.example/acme/repo-04999.git\n") ||
		!strings.Contains(text, "# 5000 found, 4998 would be mirrored; left out: 1 archived (such as acme/repo-00001), 1 excluded (such as acme/repo-00002)\n") {
		t.Errorf("%v\n%.500s", err, text)
	}
	if n := len(f.Asked()); n > 60 {
		t.Errorf("it took %d requests", n)
	}
	text, err = check(discovery(f, "github", `groups = ["nobody"]`))
	if err == nil || !strings.Contains(text, "it answers 404 Not Found to http://127.0.0.1:") {
		t.Errorf("%v\n%s", err, text)
	}
	if text, err = check("master = true"); err == nil || !strings.Contains(text, "has no [[discover]]") {
		t.Errorf("%v\n%s", err, text)
	}
	if _, err := os.Stat(d.storage); err == nil {
		t.Error("the storage was made")
	}
}
