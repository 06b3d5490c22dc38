package access

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestReadToken(t *testing.T) {
	const good = "a-token-of-the-cluster"
	path := filepath.Join(t.TempDir(), "token")
	for _, c := range []struct{ text, want, wrong string }{
		{good, good, ""},
		{good + "\n", good, ""},
		{good + "\r\n", good, ""},
		{"", "", "is empty"},
		{"\n", "", "is empty"},
		{good + "\n\n", "", "and nothing else"},
		{"too-short\n", "", "too weak"},
		{strings.Repeat("x", longestToken+1), "", "at most"},
		{good + "\x00", "", "and nothing else"},
		{"***", "", "shows instead of a token"},
		{strings.Repeat("x", MaxFile+1), "", "larger than"},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ReadToken(path)
		if string(got) != c.want || (err == nil) != (c.wrong == "") {
			t.Errorf("%.40q: %q, %v", c.text, string(got), err)
		}
		if err != nil && (!strings.Contains(err.Error(), c.wrong) || strings.Contains(err.Error(), good)) {
			t.Errorf("%.40q: %v", c.text, err)
		}
	}
}

// TestReadFile: what cannot be read to its end is not read.
func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, dir, "/dev/zero"} {
		if text, err := ReadFile(path); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("%s: %d bytes, %v", path, len(text), err)
		}
	}
	if _, err := ReadFile(filepath.Join(dir, "none")); !os.IsNotExist(err) {
		t.Errorf("got %v", err)
	}
}
