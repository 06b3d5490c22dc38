package tests

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// pushedRepo is a repository at the origin, and what is known of its mirrors.
type pushedRepo struct {
	*origin.Repo
	name, url string
	drops     bool // it is one that drops many refs
	settled   bool // a POST after the last push has brought it to some server; owned by who pushes
	dropped   bool // many refs are gone, and the master has not been told to accept it; as above

	mu     sync.RWMutex   // guards all below
	number map[string]int // of each push, by main's commit
	latest int
	has    [3]int // what each server has said, or shown, that it has: at least this push
}

func newPushedRepo(t *testing.T, root, url, name string) *pushedRepo {
	t.Helper()
	dir := filepath.Base(name) + ".git"
	r := &pushedRepo{Repo: origin.New(t, filepath.Join(root, dir)), name: name, url: url + "/" + dir, number: make(map[string]int)}
	r.push()
	return r
}

func (r *pushedRepo) push() {
	r.pushed(func() string { return r.Commit("main", map[string]string{r.name: fmt.Sprint(r.latest)}) })
}

// replace is a forced push: main becomes a commit without a history.
func (r *pushedRepo) replace() {
	r.pushed(func() string {
		id := r.Git("commit-tree", "-m", fmt.Sprint(r.latest), "main^{tree}")
		r.Git("update-ref", "refs/heads/main", id)
		return id
	})
}

func (r *pushedRepo) pushed(change func() (tip string)) {
	r.mu.Lock() // so that nobody sees a commit whose number is not known
	defer r.mu.Unlock()
	r.latest++
	r.number[change()] = r.latest
	r.settled = false
}

// manyRefs are so many that a server must be told to accept it when they go.
const manyRefs = 24

func (r *pushedRepo) many() bool { return r.Has("refs/heads/many/0") }

// drop removes many refs, or makes them again.
func (r *pushedRepo) drop() {
	r.dropped = r.many()
	var updates strings.Builder
	for i := range manyRefs {
		if ref := fmt.Sprintf("refs/heads/many/%d", i); r.dropped {
			fmt.Fprintln(&updates, "delete", ref)
		} else {
			fmt.Fprintln(&updates, "create", ref, r.Git("rev-parse", "main"))
		}
	}
	r.GitIn(updates.String(), "update-ref", "--stdin")
}

// pushAndPost pushes once or more often, and tells a server.
func (c *cluster) pushAndPost(r *pushedRepo, rng *rand.Rand) {
	for range 1 + rng.IntN(2) {
		if rng.IntN(4) == 0 {
			r.replace()
			c.forced.Add(1)
		} else {
			r.push()
		}
		c.pushes.Add(1)
	}
	switch topic := fmt.Sprintf("topic%d", rng.IntN(3)); {
	case rng.IntN(2) == 0:
		r.Git("branch", "-f", topic, "main")
	case r.Has("refs/heads/" + topic):
		r.Git("branch", "-D", topic)
	}
	if r.drops && !r.dropped && rng.IntN(2) == 0 {
		r.drop()
	}
	var fields []string
	if rng.IntN(8) == 0 {
		fields = []string{"wait", "700ms"}
	}
	c.post(max(0, rng.IntN(6)-3), r, fields...) // most often the master
}

// post posts to a server and checks each claim that the answer makes. It returns the
// status. What was dropped, the master is told to accept.
func (c *cluster) post(server int, r *pushedRepo, fields ...string) int {
	r.mu.RLock()
	pushed := r.latest
	r.mu.RUnlock()
	if r.dropped {
		server, fields = 0, append(fields, "accept", "deletions")
	}
	told, ok := c.command(server, "POST", "/", form(r.name, r.url, fields...))
	if !ok {
		return 0
	}
	c.statuses.add(told.Status)
	for i, its := range append([]report{told}, told.Slaves...) {
		claims := its.State == "success"
		if told.Status == http.StatusOK && !claims {
			c.Errorf("200, and not all have pulled: %+v", told)
		}
		if !claims {
			continue
		}
		who := (server + i) % 3 // a master's slaves are the servers 1 and 2
		if r.dropped && who == 0 {
			r.dropped = false
			c.accepted.Add(1)
		}
		r.settled = r.settled || !r.dropped
		c.claims.Add(1)
		if has := r.onDisk(c.servers[who]); has < pushed {
			c.Errorf("server %d has not pulled: it has push %d of %s, and %d was posted: %+v", who, has, r.name, pushed, told)
		}
		r.showed(who, pushed)
	}
	return told.Status
}

// command sends a server what needs the token, and returns what it reports.
func (c *cluster) command(server int, method, path string, body io.Reader) (told report, ok bool) {
	a, err := c.servers[server].try(method, path, body,
		"Content-Type", formType, "Accept", "application/json", "Authorization", bearer(token))
	if err == nil {
		err = a.err
	}
	if err == nil {
		err = json.Unmarshal(a.body, &told)
	}
	switch {
	case err != nil:
		c.Errorf("%s %s to server %d: %v\n%s", method, path, server, err, a.body)
	case told.Status != a.StatusCode:
		c.Errorf("%s %s to server %d: %s\n%s", method, path, server, a.Status, a.body)
	case server == 0 && len(told.Slaves) != 2 && told.Status != http.StatusNotFound:
		c.Errorf("the master says nothing of its slaves:\n%s", a.body)
	default:
		return told, true
	}
	return told, false
}

// showed notes that a server has a push.
func (r *pushedRepo) showed(server, push int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.has[server] = max(r.has[server], push)
}

// onDisk is the number of the push that a server has on disk; 0 for none.
func (r *pushedRepo) onDisk(d *daemon) int {
	text, _ := os.ReadFile(filepath.Join(d.mirror(r.name), "packed-refs"))
	r.mu.RLock()
	defer r.mu.RUnlock()
	for line := range strings.Lines(string(text)) {
		if id, ref, _ := strings.Cut(strings.TrimSpace(line), " "); ref == "refs/heads/main" {
			return r.number[id]
		}
	}
	return 0
}

// read reads an archive, which must not be older than what the server has had.
func (c *cluster) read(server int, r *pushedRepo) {
	r.mu.RLock()
	least := r.has[server]
	r.mu.RUnlock()
	began := time.Now()
	a, err := c.servers[server].try("GET", "/"+r.name, nil)
	took := time.Since(began)
	switch {
	case err != nil:
		c.Errorf("GET %s from server %d: %v", r.name, server, err)
		return
	case a.StatusCode == http.StatusNotFound && least == 0:
		return
	case a.StatusCode != http.StatusOK || a.err != nil:
		c.Errorf("GET %s from server %d: %s %v\n%s", r.name, server, a.Status, a.err, a.text())
		return
	}
	c.archives.Add(1)
	if took > clusterPatience+clusterSlack {
		c.late.Add(1)
	}
	for old := c.slowest.Load(); int64(took) > old && !c.slowest.CompareAndSwap(old, int64(took)); old = c.slowest.Load() {
	}
	r.mu.RLock()
	shown := r.number[a.Header.Get("X-Revision")]
	r.mu.RUnlock()
	if shown < least {
		c.Errorf("server %d shows push %d of %s, and has had %d (state %s, pulled %s)",
			server, shown, r.name, least, a.Header.Get("X-State"), a.Header.Get("X-Date"))
	}
	r.showed(server, shown)
}

// tally counts answers by their status.
type tally struct {
	mu sync.Mutex // guards n
	n  map[int]int
}

func (t *tally) add(status int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n[status]++
}

func (t *tally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return fmt.Sprint(t.n)
}
