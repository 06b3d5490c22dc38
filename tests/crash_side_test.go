package tests

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// crashSide is what goes on in TestCrashes beside the mirrors that are created and
// updated: one that is pulled in every round, so that it has many packs and is repacked,
// and whose branch "moving" is replaced each time, so that something is kept; one a round
// that is removed; and clones.
type crashSide struct {
	t        *testing.T
	d, slave *daemon
	busy     *origin.Repo
	url      string       // of the server with the origins
	dir      string       // for clones
	clones   atomic.Int64 // that were whole
	removals atomic.Int64 // that were acknowledged

	mu      sync.Mutex        // guards all below
	last    string            // where "moving" was when a pull was acknowledged
	kept    []string          // what had to be kept since
	removed map[string]string // names that were acknowledged to be removed: when
	moving  string
}

func newCrashSide(t *testing.T, d, slave *daemon, url, root string) *crashSide {
	s := &crashSide{t: t, d: d, slave: slave, url: url, dir: t.TempDir(), removed: make(map[string]string)}
	s.busy = origin.New(t, filepath.Join(root, "busy.git"))
	s.busy.Commit("main", map[string]string{"big": noise(1, 200_000)})
	return s
}

// begin starts the clients of a round.
func (s *crashSide) begin(round int, clients *sync.WaitGroup) {
	tip := s.busy.Commit("main", map[string]string{"new": fmt.Sprint(round)})
	tree := s.busy.Git("rev-parse", tip+"^{tree}")
	s.moving = s.busy.Git("-c", "user.name=T", "-c", "user.email=t@e", "commit-tree", "-m", fmt.Sprint(round), tree) // without a history
	s.busy.Git("update-ref", "refs/heads/moving", s.moving)
	moving := s.moving
	at := &daemon{t: s.t, url: s.d.url}
	post := func(name, path string) bool {
		a, err := at.try("POST", "/", form(name, s.url+path), "Content-Type", formType, "Authorization", bearer(token))
		return err == nil && a.StatusCode == http.StatusOK
	}
	clients.Go(func() {
		if !post("busy", "/busy.git") {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.last != "" {
			s.kept = append(s.kept, s.last)
		}
		s.last = moving
	})
	clients.Go(func() {
		name := fmt.Sprintf("doomed/m%d", round)
		if !post(name, "/r0.git") {
			return
		}
		a, err := at.try("DELETE", "/"+name, nil, "Authorization", bearer(token))
		if err == nil && a.StatusCode == http.StatusOK {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.removed[name] = fmt.Sprint("in round ", round)
			s.removals.Add(1)
		}
	})
	to := filepath.Join(s.dir, fmt.Sprint(round))
	clients.Go(func() {
		if origin.Command("clone", "--quiet", "--mirror", at.url+"/busy", to).Run() != nil {
			return // it was cut short, or the mirror was not there yet
		}
		out, err := origin.Command("--git-dir="+to, "fsck", "--full", "--strict").CombinedOutput()
		if err != nil {
			s.t.Errorf("a clone is damaged: %v\n%s", err, out)
		} else if strings.Contains(string(out), "error") || !strings.Contains(refs(s.t, to), "refs/heads/moving") {
			s.t.Errorf("a clone is not whole: %s\n%s", out, refs(s.t, to))
		}
		s.clones.Add(1)
	})
}

// manyPacks has so many pulled that the busy mirror is repacked when nobody has pulled it
// for a second.
func (s *crashSide) manyPacks() {
	s.t.Helper()
	for i := 0; s.d.packs("busy") <= 12; i++ {
		s.busy.Commit("main", map[string]string{"more": fmt.Sprint(i)})
		s.d.postAs(bearer(token), "busy", s.url+"/busy.git").expect(s.t, 200)
	}
}

// killed checks what is there before the daemon is started again.
func (s *crashSide) killed() {
	s.t.Helper()
	s.objects()
	s.gone()
}

// objects checks that nothing is lost that the origin has replaced.
func (s *crashSide) objects() {
	s.t.Helper()
	if s.last == "" {
		return
	}
	kept, err := origin.Command("--git-dir="+s.d.mirror("busy"), "for-each-ref", "--format=%(objectname) %(refname)").CombinedOutput()
	if err != nil {
		s.t.Fatalf("%v\n%s", err, kept)
	}
	for _, id := range append(s.kept, s.last) {
		if !strings.Contains(string(kept), id) {
			s.t.Errorf("%s was acknowledged, and is not kept:\n%s", id, kept)
		}
	}
}

// gone checks that what was removed is.
func (s *crashSide) gone() {
	s.t.Helper()
	for name, when := range s.removed {
		for _, d := range []*daemon{s.d, s.slave} {
			if exists(d.mirror(name)) {
				s.t.Errorf("%s was removed %s, and is there", name, when)
			}
		}
	}
}

// restarted checks what the daemon has made of it.
func (s *crashSide) restarted() {
	s.t.Helper()
	s.d.postAs(bearer(token), "busy", s.url+"/busy.git").expect(s.t, 200)
	if s.last != "" && s.last != s.moving {
		s.kept = append(s.kept, s.last)
	}
	s.last = s.moving
	if got, want := refs(s.t, s.d.mirror("busy")), refs(s.t, s.busy.Dir); got != want {
		s.t.Errorf("the busy mirror has\n%sthe origin\n%s", got, want)
	}
	s.objects()
	// Packs that git looks at may just be replaced by others.
	var out []byte
	if !within(patient, func() (ok bool) {
		var err error
		out, err = origin.Command("--git-dir="+s.d.mirror("busy"), "fsck", "--full", "--strict").CombinedOutput()
		return err == nil && !strings.Contains(string(out), "error")
	}) {
		s.t.Errorf("fsck of the busy mirror: %s", out)
	}
	for name := range s.removed {
		s.d.get("/"+name).expect(s.t, 404)
	}
	if log := s.d.log.String(); strings.Contains(log, "damaged") {
		s.t.Errorf("a mirror was found to be damaged:\n%s", log)
	}
}

// end checks that the slave is what its master is.
func (s *crashSide) end() {
	s.t.Helper()
	s.gone()
	if !within(patient, func() bool { return refs(s.t, s.slave.mirror("busy")) == refs(s.t, s.d.mirror("busy")) }) {
		s.t.Error("the slave differs from its master")
	}
	s.slave.cleanSoon()
	s.t.Logf("%d clones, %d removals, %d refs kept, %d packs in the busy mirror", s.clones.Load(), s.removals.Load(), len(s.kept), s.d.packs("busy"))
}
