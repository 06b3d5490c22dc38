package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
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

func TestMirrorsAreCheckedInTheBackground(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t)
	d.pulled("good", r.Dir)
	d.pulled("bad", r.Dir)
	packs, err := filepath.Glob(filepath.Join(d.mirror("bad"), "objects", "pack", "*.pack"))
	if err != nil || len(packs) != 1 {
		t.Fatal(packs, err)
	}
	text, err := os.ReadFile(packs[0])
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)-25] ^= 1 // in the last object
	if err := os.Remove(packs[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(packs[0], text, 0o444); err != nil {
		t.Fatal(err)
	}
	if at, _ := d.checked("good"); !at.IsZero() {
		t.Fatalf("checked at %s, without being asked", at)
	}

	d.reload(`check = "2s"`)
	d.wait(`INFO checked mirror=good`)
	d.wait(`damaged mirror=bad`)
	at, damage := d.checked("good")
	if at.IsZero() || damage != "" {
		t.Errorf("good: %s, %q", at, damage)
	}
	d.get("/good").expect(t, 200)

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
