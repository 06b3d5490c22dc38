package git

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/reconquest/sould/internal/pktline"
)

// TestMemoryOfHelpers reads the limits of the helpers as they start: of many at once, so that
// some start before a limit could be set from outside.
func TestMemoryOfHelpers(t *testing.T) {
	const atOnce = 32
	dir := t.TempDir()
	ssh, seen := filepath.Join(dir, "ssh"), filepath.Join(dir, "seen")
	if err := os.WriteFile(ssh, []byte("#!/bin/sh\nulimit -d >>'"+seen+"'\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	remote := Remote{URL: "git@host:repo"}
	list := func(g *Git) { _, _ = g.List(t.Context(), remote) }
	repo := filepath.Join(dir, "r.git")
	if err := New(Options{}).Repo(repo).Init(t.Context(), 0, ""); err != nil {
		t.Fatal(err)
	}
	fetch := func(g *Git) {
		_, _ = g.Repo(repo).Fetch(t.Context(), remote, []string{strings.Repeat("1", 40)}, FetchMode{}, nil)
	}
	for _, test := range []struct {
		memory uint64
		do     func(*Git)
		want   string // in KiB
	}{
		{0, list, "524288"},
		{256 << 20, list, "262144"},
		{3 << 30, list, "524288"},
		{3 << 30, fetch, "3145728"},
	} {
		g := New(Options{SSHCommand: ssh, Memory: test.memory})
		var all sync.WaitGroup
		for range atOnce {
			all.Go(func() { test.do(g) })
		}
		all.Wait()
		got, err := os.ReadFile(seen)
		if err != nil || string(got) != strings.Repeat(test.want+"\n", atOnce) {
			t.Errorf("of %d bytes the helpers have %q KiB, want %s (%v)", test.memory, got, test.want, err)
		}
		os.Remove(seen)
	}
}

// TestMemoryOfAPack has git read a pack of a few kilobytes with an object of half a gigabyte.
func TestMemoryOfAPack(t *testing.T) {
	repo := New(Options{Memory: 128 << 20}).Repo(filepath.Join(t.TempDir(), "r.git"))
	if err := repo.Init(t.Context(), 0, ""); err != nil {
		t.Fatal(err)
	}
	err := repo.git.run(t.Context(), command{
		name: "index-pack", dir: repo.Dir, args: []string{"--stdin"}, stdin: bytes.NewReader(bombPack(32)),
	})
	if !outOfMemory(err) {
		t.Error(err)
	}
}

// bombPack is a pack of a blob of 16 MiB, and of another one that consists of copies of it.
func bombPack(copies int) []byte {
	const size, piece = 1 << 24, 1<<24 - 1 // the longest copy in a delta
	var pack bytes.Buffer
	pack.WriteString("PACK\x00\x00\x00\x02\x00\x00\x00\x02")
	object := func(kind byte, base, content []byte) {
		n := len(content)
		head := []byte{kind<<4 | byte(n&15)}
		for n >>= 4; n > 0; n >>= 7 {
			head[len(head)-1] |= 0x80
			head = append(head, byte(n&0x7f))
		}
		pack.Write(append(head, base...))
		z := zlib.NewWriter(&pack)
		z.Write(content)
		z.Close()
	}
	blob := make([]byte, size)
	object(3, nil, blob)
	delta := binary.AppendUvarint(nil, size)
	delta = binary.AppendUvarint(delta, uint64(copies*piece))
	for range copies {
		delta = append(delta, 0xf0, 0xff, 0xff, 0xff) // a copy from offset 0
	}
	id := sha1.Sum(append([]byte("blob 16777216\x00"), blob...))
	object(7, id[:], delta)
	sum := sha1.Sum(pack.Bytes())
	return append(pack.Bytes(), sum[:]...)
}

// TestMemoryOfAList lists an origin whose small compressed answer is a list without end.
func TestMemoryOfAList(t *testing.T) {
	const hex = "0123456789abcdef0123456789abcdef01234567"
	var answer bytes.Buffer
	z := gzip.NewWriter(&answer)
	io.WriteString(z, "001e# service=git-upload-pack\n0000")
	refs := strings.Repeat(string(pktline.Append(nil, hex, " refs/heads/", strings.Repeat("x", 200), "\n")), 4096)
	for range 128 {
		io.WriteString(z, refs)
	}
	z.Close()
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(answer.Bytes())
	}))
	defer origin.Close()

	_, err := New(Options{Memory: 64 << 20}).List(t.Context(), Remote{URL: origin.URL + "/r.git"})
	if err == nil || !strings.HasPrefix(err.Error(), "the list of refs is too long: fatal: Out of memory") {
		t.Errorf("of an answer of %d bytes: %v", answer.Len(), err)
	}
}

// TestCheckOutOfMemory checks a whole repository that is too large for the limit.
func TestCheckOutOfMemory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "r.git")
	repo := New(Options{}).Repo(dir)
	if err := repo.Init(t.Context(), 0, ""); err != nil {
		t.Fatal(err)
	}
	err := repo.git.run(t.Context(), command{
		name: "index-pack", dir: dir, args: []string{"--stdin"}, stdin: bytes.NewReader(bombPack(6)),
	})
	if err != nil {
		t.Fatal(err)
	}
	damage, _, err := New(Options{Memory: 64 << 20}).Repo(dir).Check(t.Context())
	if e := (*Error)(nil); damage != nil || !errors.As(err, &e) {
		t.Errorf("damage %v, error %v", damage, err)
	}
}
