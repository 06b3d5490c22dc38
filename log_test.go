package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// TestALongTreeIsCut: what an origin says may be very long, and the log is on somebody's
// disk.
func TestALongTreeIsCut(t *testing.T) {
	var out bytes.Buffer
	log := newLog(&out)
	log.Error("can't pull", "mirror", "m", slog.String(treeKey, "the reason\n"+strings.Repeat("and so on\n", 100_000)))
	text := out.String()
	if most := 2 * maxLogTree; len(text) > min(most, 128<<10) {
		t.Errorf("the record is %d bytes long", len(text))
	}
	if !strings.Contains(text, "ERROR can't pull mirror=m\n    the reason\n    and so on\n") || !strings.HasSuffix(text, "…\n") {
		t.Errorf("the record begins with %q and ends with %q", text[:min(len(text), 100)], text[max(0, len(text)-20):])
	}
	out.Reset()
	log.Error("can't pull", slog.String(treeKey, "short\nenough"))
	if !strings.HasSuffix(out.String(), "ERROR can't pull\n    short\n    enough\n") {
		t.Errorf("the record is %q", out.String())
	}
}
