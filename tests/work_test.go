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

// TestPostsAtWorkAreBounded: what a POST has started goes on without its client, and so
// there is an end to how much of that there is.
func TestPostsAtWorkAreBounded(t *testing.T) {
	t.Parallel()
	const most = 2048 // maxPostings
	mute := "http://" + origin.BlackHole(t) + "/x.git"
	d := start(t, `list_timeout = "10m"`, `fetch_timeout = "10m"`)
	kept := &http.Client{Timeout: patient, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	defer kept.CloseIdleConnections()
	statuses := make(map[int]int)
	var mu sync.Mutex // guards statuses
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			for range (most + 160) / 16 {
				a, err := kept.Post(d.url, formType, strings.NewReader(fields("m", mute)+"&wait=0"))
				if err != nil {
					t.Error(err)
					return
				}
				a.Body.Close()
				mu.Lock()
				statuses[a.StatusCode]++
				mu.Unlock()
				if a.StatusCode == 503 && a.Header.Get("Retry-After") == "" {
					t.Error("a 503 without Retry-After")
				}
			}
		})
	}
	clients.Wait()
	if len(statuses) != 2 || statuses[202] != most || statuses[503] != 160 {
		t.Errorf("of %d POSTs: %v", most+160, statuses)
	}
	d.healthy("so many POSTs at work")
	d.kill() // nobody waits for the end of all that
	d.killChildren()
}

// TestRequestsForOneNameAreBounded: those that cannot share their work wait in line, and the
// line has an end.
func TestRequestsForOneNameAreBounded(t *testing.T) {
	t.Parallel()
	const most = 1 + 16 // one at work, and coalesce.maxWaiting
	mute := origin.BlackHole(t)
	d := start(t, `list_timeout = "10m"`, `fetch_timeout = "10m"`)
	post := func(name string, user int) answer {
		return d.post(name, fmt.Sprintf("http://user%d@%s/x.git", user, mute), "wait", "0")
	}
	for i := range most {
		post("m", i).expect(t, 202)
	}
	post("m", most).expect(t, 503, "Retry-After", "1")
	post("m", most-1).expect(t, 202) // shares
	post("other", most).expect(t, 202)
	d.kill() // nobody waits for the end of all that
	d.killChildren()
}

// TestQuestionsAreBounded: what clients ask about commits costs processes, and only so many
// at once.
func TestQuestionsAreBounded(t *testing.T) {
	t.Parallel()
	const most, asked = 16, 50 // maxQuestions
	bin, begun := t.TempDir(), t.TempDir()
	hold := filepath.Join(bin, "hold")
	script := "#!/bin/sh\ncase \"$*\" in *cat-file*) if [ -e " + hold + " ]; then mktemp " + begun + "/XXXXXX; while [ -e " + hold +
		" ]; do sleep 0.05; done; fi;; esac >/dev/null\nPATH=${PATH#*:} exec git \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "git"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	r := newOrigin(t)
	d := prepare(t)
	d.env = append(d.env, "PATH="+bin+":"+os.Getenv("PATH"))
	d.run()
	d.pulled("m", r.Dir)
	if err := os.WriteFile(hold, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	for i := range asked {
		clients.Go(func() {
			if a, err := d.try("GET", fmt.Sprintf("/m?ref=%040x", i+1), nil); err != nil || a.StatusCode != 404 {
				t.Errorf("%v %s %s", err, a.Status, a.text())
			}
		})
	}
	count := func() int {
		entries, err := os.ReadDir(begun)
		if err != nil {
			t.Error(err)
		}
		return len(entries)
	}
	eventually(t, "all places are taken", func() bool { return count() >= most })
	d.waitRead()
	d.get("/m").expect(t, 200)
	if n := count(); n != most {
		t.Errorf("%d processes at once for what clients ask", n)
	}
	if err := os.Remove(hold); err != nil {
		t.Fatal(err)
	}
	clients.Wait()
}
