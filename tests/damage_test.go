package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// removePacks takes a mirror's objects away.
func (d *daemon) removePacks(name string) {
	d.t.Helper()
	packs, err := filepath.Glob(d.mirror(name) + "/objects/pack/*")
	if err != nil || len(packs) == 0 {
		d.t.Fatalf("no packs: %v", err)
	}
	for _, path := range packs {
		if err := os.Remove(path); err != nil {
			d.t.Fatal(err)
		}
	}
}

// TestHealingWhenTheOriginHasNews: git fails then while it fetches, and not because of
// the origin.
func TestHealingWhenTheOriginHasNews(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t)
	d.pulled("m", r.Dir)
	commit := r.Commit("main", map[string]string{"file": "2"})
	d.removePacks("m")
	d.pulled("m", r.Dir)
	d.get("/m").expect(t, 200, "X-Revision", commit, "X-State", "success")
	d.fsck("m")
}

// TestDamageWithoutHelp is not looked at for each client.
func TestDamageWithoutHelp(t *testing.T) {
	t.Parallel()
	_, server, url := served(t)
	d := start(t, `retry = "1m"`)
	d.pulled("m", url)
	d.removePacks("m")
	server.Close()
	clone := filepath.Join(t.TempDir(), "clone")
	for range 10 {
		if origin.Command("clone", "--quiet", "--bare", d.url+"/m", clone).Run() == nil {
			t.Fatal("cloned what is not there")
		}
	}
	d.wait("the mirror is damaged")
	if n := strings.Count(d.log.String(), "can't pull"); n > 2 {
		t.Errorf("pulled %d times", n)
	}
}
