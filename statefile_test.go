package main

import (
	"testing"
	"time"
)

func TestDamageInTheStateFile(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	for _, c := range []struct {
		state stateFile
		want  string
	}{
		{stateFile{}, ""},
		{stateFile{Checked: at}, ""},
		{stateFile{Checked: at, CheckError: "missing blob"}, "missing blob"},
		{stateFile{Checked: at, CheckError: "missing blob", Mended: at}, ""},
		{stateFile{Checked: at, CheckError: "missing blob", Mended: at.Add(-time.Hour)}, "missing blob"},
	} {
		got := ""
		if damage := c.state.damage(); damage != nil {
			got = damage.Error()
		}
		if got != c.want {
			t.Errorf("%+v: %q", c.state, got)
		}
	}
}
