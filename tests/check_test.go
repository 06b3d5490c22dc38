package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// checked is what a mirror's file says of its last check.
func (d *daemon) checked(name string) (at time.Time, damage string) {
	d.t.Helper()
	text, err := os.ReadFile(filepath.Join(d.mirror(name), "sould.json"))
	if err != nil {
		d.t.Fatal(err)
	}
	var state struct {
		Checked    time.Time
		CheckError string `json:"check_error"`
	}
	if err := json.Unmarshal(text, &state); err != nil {
		d.t.Fatal(err)
	}
	return state.Checked, state.CheckError
}

// garble changes a bit of a mirror's only pack, in its last object.
func (d *daemon) garble(name string) {
	d.t.Helper()
	packs, err := filepath.Glob(filepath.Join(d.mirror(name), "objects", "pack", "*.pack"))
	if err != nil || len(packs) != 1 {
		d.t.Fatal(packs, err)
	}
	text := []byte(read(d.t, packs[0]))
	text[len(text)-25] ^= 1
	if err := os.Remove(packs[0]); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(packs[0], text, 0o444); err != nil {
		d.t.Fatal(err)
	}
}

func TestMirrorsAreCheckedInTheBackground(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t)
	d.pulled("good", r.Dir)
	d.pulled("bad", r.Dir)
	d.garble("bad")
	if at, _ := d.checked("good"); !at.IsZero() {
		t.Fatalf("checked at %s, without being asked", at)
	}

	d.reload(`check = "2s"`)
	d.wait(`INFO checked mirror=good`)
	d.wait(`ERROR checked; it is damaged mirror=bad`)
	at, damage := d.checked("good")
	if at.IsZero() || damage != "" {
		t.Errorf("good: %s, %q", at, damage)
	}
	d.get("/good").expect(t, 200)
	if m := d.status("&name=good").Mirrors[0]; m.Checked == 0 || m.CheckError != "" || m.Mended != 0 {
		t.Errorf("the status tells %+v", m)
	}

	// What was found is told once, and stays known when it is mended.
	eventually(t, "it is mended", func() bool { return d.status("&name=bad").Mirrors[0].Mended != 0 })
	d.wait(`INFO checked mirror=bad`) // the next check finds nothing
	log := d.log.String()
	told := strings.Count(log, "git fsck:")
	if told != 1 || strings.Index(log, "INFO checked mirror=bad") < strings.Index(log, "rebuilt mirror=bad") {
		t.Errorf("the damage is told %d times in\n%s", told, log)
	}
	d.fsck("bad")
	d.configure(`check = "1000h"`)
	d.stop()
	d.garble("bad")
	d.run()
	d.get("/bad") // which fails
	var m mirrorStatus
	eventually(t, "it is mended again", func() bool { m = d.status("&name=bad").Mirrors[0]; return m.CheckError != "" && m.Mended >= m.Checked })
	if m.Checked == 0 || !strings.Contains(m.CheckError, "git fsck:") {
		t.Errorf("the status tells %+v", m)
	}
	d.get("/x/status?name=bad").contains(t, "checked: ", "check_error: git fsck: ", "mended: ")

	// A restart knows of it.
	d.configure(`check = "1000h"`)
	d.stop()
	d.run()
	d.pulled("good", r.Dir)
	if again, damage := d.checked("good"); again.Before(at) || damage != "" {
		t.Errorf("good: %s, %q; before the restart: %s", again, damage, at)
	}
	if strings.Contains(d.log.String(), "checked") {
		t.Errorf("the log:\n%s", d.log)
	}
}

// TestDamageIsRemembered: what a check has found while the origin was down is mended after
// a restart, once.
func TestDamageIsRemembered(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t)
	d.pulled("m", r.Dir)
	if err := os.Rename(r.Dir, r.Dir+".away"); err != nil {
		t.Fatal(err)
	}
	d.garble("m")
	d.reload(`check = "2s"`)
	d.wait(`damaged mirror=m`)
	if at, damage := d.checked("m"); at.IsZero() || !strings.Contains(damage, "git fsck:") {
		t.Errorf("checked %s: %q", at, damage)
	}
	if m := d.status("&name=m").Mirrors[0]; m.Checked == 0 || !strings.Contains(m.CheckError, "git fsck:") || m.Mended != 0 {
		t.Errorf("the status tells %+v", m)
	}
	d.get("/x/status?name=m").contains(t, "checked: ", "check_error: git fsck: ")
	d.configure(`check = "1000h"`)
	d.stop()

	if err := os.Rename(r.Dir+".away", r.Dir); err != nil {
		t.Fatal(err)
	}
	d.run()
	d.wait(`a damaged mirror is rebuilt`)
	d.wait(`INFO pulled mirror=m`)
	d.fsck("m")
	d.stop()

	before := d.identity("m")
	d.run()
	d.pulled("m", r.Dir)
	if d.identity("m") != before || strings.Contains(d.log.String(), "damaged") {
		t.Errorf("it was rebuilt once more:\n%s", d.log)
	}
}

// TestWhatCannotBeReadIsNotDamaged: neither what its daemon may not read for a while, nor
// a git that is killed, is a reason to build a mirror anew.
func TestWhatCannotBeReadIsNotDamaged(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can run a daemon as another user")
	}
	_, _, url := served(t)
	d := prepare(t)
	d.setUser(54321)
	left := filepath.Join(d.storage, ".sould", "incoming", "123456")
	if err := os.MkdirAll(filepath.Join(left, "mirror"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{d.storage, filepath.Join(d.storage, ".sould"), filepath.Dir(left)} {
		if err := os.Chown(dir, 54321, 54321); err != nil {
			t.Fatal(err)
		}
	}
	d.run()
	d.wait(`ERROR can't remove what an interrupted daemon has left`)

	d.pulled("m", url)
	before := d.identity("m")
	packs := filepath.Join(d.mirror("m"), "objects", "pack")
	if err := os.Chmod(packs, 0); err != nil {
		t.Fatal(err)
	}
	d.reload(`check = "2s"`)
	d.wait(`ERROR can't check mirror=m`)
	if err := os.Chmod(packs, 0o755); err != nil {
		t.Fatal(err)
	}
	d.wait(`INFO checked mirror=m`)
	if now := d.identity("m"); now != before || strings.Contains(d.log.String(), "damaged") {
		t.Errorf("the mirror was rebuilt:\n%s", d.log)
	}
}

// TestChecksOfTheFuture: a mirror may come from a machine whose clock was wrong.
func TestChecksOfTheFuture(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t)
	d.pulled("m", r.Dir)
	d.pulled("other", r.Dir)
	d.stop()
	file := filepath.Join(d.mirror("m"), "sould.json")
	text := strings.Replace(read(t, file), "{", `{"checked":"2999-01-01T00:00:00Z",`, 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d.configure(`check = "2s"`)
	d.run()
	d.wait(`INFO checked mirror=m`)
	d.wait(`INFO checked mirror=other`)
	if at, _ := d.checked("m"); at.After(time.Now()) {
		t.Errorf("m was checked at %s", at)
	}
}

// identity tells a mirror's directory from another one that has taken its place.
func (d *daemon) identity(name string) (inode uint64) {
	d.t.Helper()
	info, err := os.Stat(d.mirror(name))
	if err != nil {
		d.t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Ino
}
