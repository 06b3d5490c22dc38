package tests

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

func TestPostCreatesAndUpdatesOverEveryTransport(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	https, ca := origin.ServeHTTPS(t, root)
	urls := map[string]string{
		"local": root, "file": "file://" + root, "http": origin.ServeHTTP(t, root).URL, "https": https.URL,
		"git": origin.ServeGit(t, root),
	}
	lines := []string{fmt.Sprintf("ca_file = %q", ca)}
	if ssh := origin.ServeSSH(t); ssh != nil {
		urls["ssh"] = ssh.URL + root
		user, host, _ := strings.Cut(strings.TrimPrefix(ssh.URL, "ssh://"), "@")
		host, port, _ := strings.Cut(host, ":")
		urls["scp"] = user + "@" + host + ":" + root
		lines = append(lines, fmt.Sprintf("ssh_command = %q", ssh.Command+" -p "+port))
	} else {
		t.Log("no sshd on this machine: ssh is not tested")
	}
	d := start(t, lines...)
	for transport, base := range urls {
		t.Run(transport, func(t *testing.T) {
			r := origin.New(t, filepath.Join(root, transport+".git"))
			first := r.Commit("main", map[string]string{"dir/file": "one"})
			d.pulled("m/"+transport, base+"/"+transport+".git").contains(t, first[:12], "1 ref changed")
			second := r.Commit("main", map[string]string{"dir/file": "two"})
			r.Git("tag", "v1", first)
			d.pulled("m/"+transport, base+"/"+transport+".git").contains(t, second[:12], "2 refs changed")
			d.pulled("m/"+transport, base+"/"+transport+".git/").contains(t, second[:12], "unchanged")

			got := d.get("/m/"+transport).expect(t, 200, "X-State", "success", "X-Revision", second)
			if files := got.files(t); files["dir/file"] != "two" {
				t.Errorf("the archive holds %v", files)
			}
			if files := d.get("/m/" + transport + "?ref=v1").files(t); files["dir/file"] != "one" {
				t.Errorf("the archive of v1 holds %v", files)
			}
			if got, want := refs(t, d.mirror("m/"+transport)), refs(t, r.Dir); got != want {
				t.Errorf("the mirror has\n%sthe origin\n%s", got, want)
			}
			d.fsck("m/" + transport)
		})
	}
}

func TestPullFollowsItsOrigin(t *testing.T) {
	r := newOrigin(t)
	d := start(t)
	same := func(what string) {
		t.Helper()
		d.pulled("m", r.Dir)
		if got, want := refs(t, d.mirror("m")), refs(t, r.Dir); got != want {
			t.Errorf("%s: the mirror has\n%sthe origin\n%s", what, got, want)
		}
	}
	same("at first")
	for _, step := range []struct {
		what string
		do   func()
	}{
		{"a new branch", func() { r.Commit("dev", map[string]string{"file": "dev"}) }},
		{"a renamed default branch", func() {
			r.Git("branch", "-m", "main", "trunk")
			r.Git("symbolic-ref", "HEAD", "refs/heads/trunk")
		}},
		{"a deleted branch", func() { r.Git("update-ref", "-d", "refs/heads/dev") }},
		{"a branch that becomes a directory", func() {
			r.Commit("a", nil)
			same("a")
			r.Git("update-ref", "-d", "refs/heads/a")
			r.Commit("a/b", nil)
		}},
		{"a directory that becomes a branch", func() { r.Git("update-ref", "-d", "refs/heads/a/b"); r.Commit("a", nil) }},
		{"a forced push", func() { r.Git("update-ref", "refs/heads/trunk", r.Commit("other", nil)) }},
		{"odd names", func() {
			for _, name := range []string{"-x", "--output=x", "HEAD", "ü", "a@b", "x;y"} {
				r.Git("update-ref", "refs/heads/"+name, "refs/heads/trunk")
			}
		}},
		{"many refs", func() {
			for i := range 100 {
				r.Git("update-ref", fmt.Sprintf("refs/tags/t%d", i), "refs/heads/trunk")
			}
		}},
	} {
		step.do()
		same(step.what)
	}
	head, err := os.ReadFile(filepath.Join(d.mirror("m"), "HEAD"))
	if err != nil || string(head) != "ref: refs/heads/trunk\n" {
		t.Errorf("HEAD is %q, %v", head, err)
	}
	d.get("/m").expect(t, 200, "X-Revision", r.Git("rev-parse", "trunk"))
	d.fsck("m")
}

func TestPullRefusesToLoseWhatItHas(t *testing.T) {
	r := newOrigin(t)
	for i := range 20 {
		r.Git("update-ref", fmt.Sprintf("refs/heads/b%02d", i), "refs/heads/main")
	}
	d := start(t)
	d.pulled("m", r.Dir)
	before := refs(t, d.mirror("m"))
	for i := range 15 {
		r.Git("update-ref", "-d", fmt.Sprintf("refs/heads/b%02d", i))
	}
	d.post("m", r.Dir).expect(t, 500).contains(t, "15 of 21 refs", "accept=deletions", "refs/heads/b00")
	if got := refs(t, d.mirror("m")); got != before {
		t.Errorf("refs have changed:\n%s", got)
	}
	d.get("/m").expect(t, 200, "X-State", "failed")
	d.post("m", r.Dir, "accept", "everything").expect(t, 400)
	d.pulled("m", r.Dir, "accept", "deletions").contains(t, "15 refs changed")

	if err := os.Rename(r.Dir, r.Dir+".away"); err != nil {
		t.Fatal(err)
	}
	origin.New(t, r.Dir)
	d.post("m", r.Dir).expect(t, 500).contains(t, "the origin is empty", "6 refs")
	d.get("/m").expect(t, 200, "X-State", "failed")
	d.pulled("m", r.Dir, "accept", "deletions").contains(t, "empty", "6 refs changed")
	d.get("/m").expect(t, 409)
}

func TestManyPostsCostTwoFetches(t *testing.T) {
	root := t.TempDir()
	r := origin.New(t, filepath.Join(root, "r.git"))
	r.Commit("main", map[string]string{"f": "1"})
	server := origin.ServeHTTP(t, root)
	d := start(t)
	d.pulled("m", server.URL+"/r.git")

	r.Commit("main", map[string]string{"f": "2"})
	server.Lists.Store(0)
	server.Fetches.Store(0)
	arrived, held := make(chan bool, 1), newHold(t)
	var once sync.Once
	server.Before(func(*http.Request) {
		once.Do(func() { arrived <- true; held.wait() }) // the first request waits until all have come
	})
	var posts sync.WaitGroup
	post := func() {
		posts.Go(func() {
			if a := d.post("m", server.URL+"/r.git"); a.StatusCode != 200 {
				t.Errorf("%s\n%s", a.Status, a.text())
			}
		})
	}
	post()
	<-arrived
	last := r.Commit("main", map[string]string{"f": "3"}) // the posts to come must bring it
	var wrote sync.WaitGroup
	wrote.Add(99)
	d.wrote = wrote.Done
	for range 99 {
		post()
	}
	wrote.Wait()
	d.waitRead()
	held.release()
	posts.Wait()
	d.wrote = nil
	d.get("/m").expect(t, 200, "X-Revision", last)
	if lists, fetches := server.Lists.Load(), server.Fetches.Load(); lists > 2 || fetches > 4 {
		// In version 2 a fetch is up to two requests.
		t.Errorf("100 posts cost %d lists and %d requests to fetch", lists, fetches)
	}
}

func TestOriginThatIsPushedToWhileItIsRead(t *testing.T) {
	root := t.TempDir()
	r := origin.New(t, filepath.Join(root, "r.git"))
	r.Commit("main", map[string]string{"f": "1"})
	server := origin.ServeHTTP(t, root)
	d := start(t)
	d.pulled("m", server.URL+"/r.git")
	r.Commit("main", map[string]string{"f": "2"})
	var once sync.Once
	server.Before(func(q *http.Request) {
		if strings.HasSuffix(q.URL.Path, "/git-upload-pack") {
			once.Do(func() { // a forced push, after which the old commit is gone at once
				r.Git("update-ref", "-d", "refs/heads/main")
				r.Commit("main", map[string]string{"f": "other"})
				r.Git("reflog", "expire", "--expire=now", "--all")
				r.Git("-c", "gc.pruneExpire=now", "gc", "--quiet")
			})
		}
	})
	d.pulled("m", server.URL+"/r.git")
	d.get("/m").expect(t, 200, "X-Revision", r.Git("rev-parse", "main"))
}
