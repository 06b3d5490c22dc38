package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDiskIsFullDuringRepack: there is room for the mirror, and not for its repack. That
// fails with the reason and leaves nothing behind; the mirror is served and pulled, and
// repacked when there is space again.
func TestDiskIsFullDuringRepack(t *testing.T) {
	t.Parallel()
	const data, pushes = 6 << 20, 14
	dir := smallDisk(t, 4*data)
	r := newOrigin(t)
	r.Commit("main", map[string]string{"a": noise(1, data)})
	d := prepare(t)
	d.storage = filepath.Join(dir, "storage")
	d.configure(`cache_size = 0`, `maintenance = false`) // until the disk is full
	d.run()
	for i := range pushes {
		r.Commit("main", map[string]string{"b": fmt.Sprint(i)})
		d.pulled("m", r.Dir)
	}
	filler := filepath.Join(dir, "filler")
	leave(t, filler, data/2)
	d.reload(`cache_size = 0`)
	r.Commit("main", map[string]string{"b": "one more"})
	d.pulled("m", r.Dir)
	was := refs(t, d.mirror("m"))
	line := d.wait(`can't repack mirror=m [^\n]*(\n +[^\n]*)+`)[0]
	if !strings.Contains(line, "No space left on device") && !strings.Contains(line, "the disk is full") {
		t.Errorf("the reason is missing:\n%s", line)
	}
	d.cleanSoon()
	d.fsck("m")
	if now := refs(t, d.mirror("m")); now != was {
		t.Errorf("the refs were\n%snow they are\n%s", was, now)
	}
	r.Commit("main", map[string]string{"b": "small"}) // for which there is room
	d.pulled("m", r.Dir)
	if a := d.get("/m?path=b"); a.StatusCode != 200 || a.files(t)["b"] != "small" {
		t.Errorf("the mirror is served with %s\n%s", a.Status, a.text())
	}
	if n := d.packs("m"); n <= fewPacks {
		t.Errorf("%d packs are left: nothing was to be repacked", n)
	}

	// There is space again. What has failed waits an hour, or for a start.
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	d.stop()
	d.run()
	r.Commit("main", map[string]string{"b": "again"})
	d.pulled("m", r.Dir)
	eventually(t, "few packs", func() bool { return d.packs("m") <= fewPacks })
	d.cleanSoon()
	d.fsck("m")
	d.get("/m").expect(t, 200, "X-State", "success")
}
