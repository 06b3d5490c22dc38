package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestMisuse: who uses a command line that there is not reads first what is wrong with it.
func TestMisuse(t *testing.T) {
	for line, want := range map[string]string{
		"--chek":                  `sould: there is no option "--chek"`,
		"-x":                      `sould: there is no option "-x"`,
		"--check -c":              "sould: -c needs the name of a configuration file after it",
		"sould.conf":              `sould: "sould.conf" is neither an option nor the value of one; a configuration file is named with -c`,
		"--check -c a -c b":       "sould: -c is given twice",
		"-ca -cb":                 "sould: -c is given twice",
		"--check --check":         "sould: --check is given twice",
		"--unsecure --insecure":   "sould: --unsecure and --insecure mean the same: give one of them",
		"--unsecure=yes":          `sould: --unsecure takes no value`,
		"--check --version":       "sould: --version stands alone",
		"--chek=1":                `sould: there is no option "--chek=1"`,
		"--check -c a b":          `sould: "b" is neither`,
		"-":                       `sould: "-" is neither`,
		"--check --unsecure -c a": "",
	} {
		if got := misuse(strings.Fields(line)); want == "" && got != "" {
			t.Errorf("%s: %q", line, got)
		} else if want == "" {
			continue
		}
		var out, err bytes.Buffer
		if status := run(strings.Fields(line), &out, &err); status != exitUsage || out.Len() > 0 {
			t.Errorf("%s: status %d, prints %q", line, status, out.String())
		}
		if first, rest, _ := strings.Cut(err.String(), "\n"); !strings.HasPrefix(first, want) || !strings.HasPrefix(rest, "\nUsage:") {
			t.Errorf("%s: the first line is %q, want %q, of\n%s", line, first, want, err.String())
		}
	}
}
