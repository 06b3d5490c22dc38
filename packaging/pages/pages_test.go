package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// pages makes all pages and returns their directory.
func pages(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := run("../..", dir, "1.0", "2026-11-28"); err != nil {
		t.Fatal(err)
	}
	return dir
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestPagesAreWhole: each option of the program, and each key of the example, is in the pages.
func TestPagesAreWhole(t *testing.T) {
	dir := pages(t)
	text, err := usageText("../..")
	if err != nil {
		t.Fatal(err)
	}
	options := regexp.MustCompile(`(?m)^  (-[-a-z]+)`).FindAllStringSubmatch(text, -1)
	if len(options) < 5 {
		t.Fatalf("the usage text has the options %q", options)
	}
	for _, option := range options {
		for name, want := range map[string]string{
			"sould.1":    strings.ReplaceAll(option[1], "-", `\-`),
			"sould.bash": option[1], "_sould": option[1] + "[", "sould.fish": strings.TrimLeft(option[1], "-"),
		} {
			if !strings.Contains(read(t, filepath.Join(dir, name)), want) {
				t.Errorf("%s does not have %s", name, option[1])
			}
		}
	}
	page := read(t, filepath.Join(dir, "sould.conf.5"))
	keys := regexp.MustCompile(`(?m)^#([a-z_]+ = .*)$`).FindAllStringSubmatch(read(t, "../../sould.conf.example"), -1)
	if len(keys) < 30 {
		t.Fatalf("the example has %d keys", len(keys))
	}
	for _, key := range keys {
		if !strings.Contains(page, `\fB`+escape(key[1])+`\fR`) {
			t.Errorf("sould.conf.5 does not have %s", key[1])
		}
	}
}

// TestPagesAreClean: neither mandoc nor man has anything against the pages.
func TestPagesAreClean(t *testing.T) {
	dir := pages(t)
	for _, command := range [][]string{{"mandoc", "-Tlint", "-W", "warning"}, {"man", "--warnings", "-l"}} {
		if _, err := exec.LookPath(command[0]); err != nil {
			t.Logf("no %s on this machine", command[0])
			continue
		}
		for _, page := range []string{"sould.1", "sould.conf.5"} {
			cmd := exec.Command(command[0], append(command[1:], filepath.Join(dir, page))...)
			cmd.Env = append(os.Environ(), "MANPAGER=cat", "MANWIDTH=80")
			var complaints strings.Builder
			cmd.Stderr = &complaints
			out, err := cmd.Output()
			if err != nil || complaints.Len() > 0 || command[0] == "mandoc" && len(out) > 0 {
				t.Errorf("%v: %v\n%s%s", command, err, complaints.String(), out[:min(len(out), 1000)])
			}
		}
	}
}

// TestCompletions asks the shells.
func TestCompletions(t *testing.T) {
	dir := pages(t)
	for shell, script := range map[string]string{
		"bash": `source $0/sould.bash; COMP_WORDS=(sould --un) COMP_CWORD=1; _sould; echo "${COMPREPLY[@]}"
			cd $0; COMP_WORDS=(sould -c sould.c) COMP_CWORD=2; _sould 2>/dev/null; echo "${COMPREPLY[@]}"`,
		"fish": `source $argv/sould.fish; complete -C 'sould --un' | cut -f 1; cd $argv; complete -C 'sould -c sould.c'`,
		"zsh":  `autoload -U compinit; fpath=($0 $fpath); compinit -u -D; which _sould >/dev/null && ZDOTDIR=$0 zsh -n $0/_sould && echo --unsecure sould.conf.5`,
	} {
		if _, err := exec.LookPath(shell); err != nil {
			t.Logf("no %s on this machine", shell)
			continue
		}
		cmd := exec.Command(shell, "-c", script, dir)
		cmd.Env = append(os.Environ(), "HOME="+dir)
		out, err := cmd.CombinedOutput()
		if got := strings.Join(strings.Fields(string(out)), " "); err != nil || got != "--unsecure sould.conf.5" {
			t.Errorf("%s: %v, %s", shell, err, got)
		}
	}
}

func TestParseUsage(t *testing.T) {
	u, err := parseUsage("does\nthings\n\nUsage:\n  p [-c <config>]\n  p get <url>\n\nOptions:\n  -c --config=<config>  A file,\n                       or none.\n  --q  Be quiet.\n")
	if err != nil {
		t.Fatal(err)
	}
	if u.about != "does things" || len(u.synopsis) != 2 || strings.Join(u.commands, " ") != "get" || len(u.options) != 2 ||
		strings.Join(u.options[0].names, " ") != "-c --config" || !u.options[0].namesFile() || u.options[0].about != "A file, or none." || u.options[1].namesFile() {
		t.Errorf("got %+v", u)
	}
	for _, text := range []string{"", "x\n\nUsage:\n  p\n", "Usage:\n p\n\nOther:\n  what\n"} {
		if u, err := parseUsage(text); err == nil {
			t.Errorf("%q is taken as %+v", text, u)
		}
	}
}
