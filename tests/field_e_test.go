package tests

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// Places that are held at the client's speed. What is made, is made at the machine's.

const slow = 16 << 10 // bytes a second at which a slow client reads

// holdPacks has git say so many bytes of each pack of a mirror and then no more until it is
// released. It is for a daemon that is not started yet.
func (d *daemon) holdPacks(mirror string, bytes int) (release func()) {
	d.t.Helper()
	held := filepath.Join(d.t.TempDir(), "held")
	d.wrapPacks(mirror, fmt.Sprintf(`git "$@" | { head -c %d; while [ -e %s ]; do sleep 0.05; done; cat; }`, bytes, held))
	if err := os.WriteFile(held, nil, 0o644); err != nil {
		d.t.Fatal(err)
	}
	return func() { _ = os.Remove(held) }
}

// wrapPacks has a shell run this where git makes a pack of a mirror.
func (d *daemon) wrapPacks(mirror, script string) {
	d.t.Helper()
	bin := d.t.TempDir()
	script = "#!/bin/sh\nPATH=${PATH#*:}\ncase \"$*\" in *--advertise-refs*) ;; *' upload-pack '*/" + mirror + ")\n" + script + "\nexit;; esac\nexec git \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "git"), []byte(script), 0o755); err != nil {
		d.t.Fatal(err)
	}
	d.env = append(d.env, "PATH="+bin+":"+os.Getenv("PATH"))
}

// slowly reads 16 kB a second until the connection ends, and returns why it did.
func slowly(conn io.Reader) error {
	tick := time.NewTicker(time.Second / 4)
	defer tick.Stop()
	for {
		if _, err := io.ReadFull(conn, make([]byte, slow/4)); err != nil {
			return err
		}
		<-tick.C
	}
}

// slowReaders have so many connections been read slowly, from their first bytes on. What
// ends before the test closes them is told.
func slowReaders(t *testing.T, n int, ask func(i int) net.Conn) (conns []net.Conn, ended chan error) {
	t.Helper()
	var readers sync.WaitGroup
	ended = make(chan error, n)
	for i := range n {
		conn := ask(i)
		conns = append(conns, conn)
		if _, err := io.ReadFull(conn, make([]byte, 1000)); err != nil {
			t.Fatalf("reader %d: %v", i, err)
		}
		readers.Go(func() {
			if err := slowly(conn); !errors.Is(err, net.ErrClosed) {
				ended <- err
			}
		})
	}
	t.Cleanup(func() {
		for _, conn := range conns {
			conn.Close()
		}
		readers.Wait()
	})
	return conns, ended
}

// getSlowly asks for an archive on a connection that holds little.
func (d *daemon) getSlowly(path string) net.Conn {
	d.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	if err != nil {
		d.t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		d.t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
	return conn
}

// none checks that no reader has ended.
func none(t *testing.T, ended chan error) {
	t.Helper()
	select {
	case err := <-ended:
		t.Errorf("a slow reader was broken off: %v", err)
	default:
	}
}

// packIn is the pack in an answer to ask, which must be whole; the mirror's content is checked
// by git.
func packIn(t *testing.T, answer io.Reader, tip string) {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(answer), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	pack, ok := bytes.CutPrefix(body, []byte("0008NAK\n"))
	if err != nil || response.StatusCode != 200 || !ok {
		t.Fatalf("%s, %d bytes, %v", response.Status, len(body), err)
	}
	dir := t.TempDir()
	in(t, "", "init", "--quiet", "--bare", dir)
	index := origin.Command("--git-dir="+dir, "index-pack", "--stdin", "--strict")
	index.Stdin = bytes.NewReader(pack)
	if out, err := index.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	in(t, dir, "rev-list", "--objects", tip)
}

// TestFieldSlowClones: eight clients at 16 kB/s hold no place. Nor do those that take in nothing.
func TestFieldSlowClones(t *testing.T) {
	t.Parallel()
	const places = 8
	r, tiny := bigOrigin(t, 8), newOrigin(t)
	tip := r.Git("rev-parse", "main")
	d := start(t, fmt.Sprintf("max_clones = %d", places))
	d.pulled("m", r.Dir)
	d.pulled("tiny", tiny.Dir)
	_, ended := slowReaders(t, places, func(int) net.Conn { return d.ask("m", tip) })
	for range places {
		_ = d.ask("m", tip) // for ever
	}
	eventually(t, "the end of all processes", func() bool { return len(d.children()) == 0 })
	none(t, ended) // so places are free while all of them still read
	for _, version := range protocols {
		d.clone(version, "tiny")
	}
	d.clone("2", "m")
	none(t, ended)
	for _, name := range d.own("cache") {
		if !strings.HasSuffix(name, ".part") { // which the next start removes
			t.Errorf("a pack that was asked for once is kept: %s", name)
		}
	}
	if soak() { // who takes in nothing is given up in the end
		if !within(2*time.Minute, func() bool { return strings.Contains(d.log.String(), "the client has read nothing for too long") }) {
			t.Errorf("nobody was given up:\n%s", d.log)
		}
	}
}

// TestFieldClonesLeaveNothing of theirs on the disk or open when they have gone.
func TestFieldClonesLeaveNothing(t *testing.T) {
	t.Parallel()
	r := bigOrigin(t, 4)
	tip := r.Git("rev-parse", "main")
	d := start(t)
	d.pulled("m", r.Dir)
	d.clone("2", "m")
	client.CloseIdleConnections()
	before := d.descriptors()
	var conns []net.Conn
	for range 16 {
		conn := d.ask("m", tip)
		conns = append(conns, conn)
		if _, err := io.ReadFull(conn, make([]byte, 300_000)); err != nil {
			t.Fatal(err)
		}
	}
	if during := d.descriptors(); during < before+16 {
		t.Errorf("%d descriptors with 16 clones, %d before", during, before)
	}
	for i, conn := range conns {
		if i%2 == 0 {
			packIn(t, d.ask("m", tip), tip)
		}
		conn.Close()
	}
	eventually(t, "as few descriptors as before", func() bool { return d.descriptors() <= before+8 })
}

// TestFieldMirrorsGoWhilePacksAreRead: what was made is read to its end.
func TestFieldMirrorsGoWhilePacksAreRead(t *testing.T) {
	t.Parallel()
	r, other := bigOrigin(t, 4), newOrigin(t)
	tip, otherTip := r.Git("rev-parse", "main"), other.Git("rev-parse", "main")
	d := start(t, tokenLine)
	for _, name := range []string{"removed", "replaced", "repacked"} {
		d.postWithToken(name, r.Dir).expect(t, 200)
	}
	d.postWithToken("other", other.Dir).expect(t, 200)
	answers := make(map[string]io.Reader)
	for _, name := range []string{"removed", "replaced", "repacked"} {
		conn := d.ask(name, tip)
		start := make([]byte, 1000)
		if _, err := io.ReadFull(conn, start); err != nil {
			t.Fatal(err)
		}
		answers[name] = io.MultiReader(bytes.NewReader(start), conn)
	}
	eventually(t, "the end of all processes", func() bool { return len(d.children()) == 0 })
	d.remove("removed").expect(t, 200)
	if err := errors.Join(os.RemoveAll(d.mirror("replaced")), os.Rename(d.mirror("other"), d.mirror("replaced"))); err != nil {
		t.Fatal(err)
	}
	in(t, d.mirror("repacked"), "repack", "-adfq")
	if got := in(t, d.clone("2", "replaced"), "rev-parse", "HEAD"); got != otherTip {
		t.Errorf("the mirror that took its place has %s", got)
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) { packIn(t, answer, tip) })
	}
}

// TestFieldKilledWhilePacksAreMade, a daemon leaves nothing of them.
func TestFieldKilledWhilePacksAreMade(t *testing.T) {
	t.Parallel()
	r := bigOrigin(t, 4)
	tip := r.Git("rev-parse", "main")
	d := prepare(t)
	release := d.holdPacks("held", 2_000_000)
	d.run()
	d.pulled("held", r.Dir)
	conn := d.ask("held", tip)
	if _, err := io.ReadFull(conn, make([]byte, 1_500_000)); err != nil {
		t.Fatal(err)
	}
	d.kill()
	if rest, err := io.ReadAll(conn); err == nil && bytes.HasSuffix(rest, []byte("\r\n0\r\n\r\n")) {
		t.Error("the answer of a daemon that was killed ends as if it were whole")
	}
	release()
	d.run()
	if names := d.own("cache"); len(names) != 0 {
		t.Errorf("of a daemon that was killed there is still %q", names)
	}
	d.clone("2", "held")
	packIn(t, d.ask("held", tip), tip)
}

// TestFieldPacksThatFail: the clone fails, as git's own does, and never ends short.
func TestFieldPacksThatFail(t *testing.T) {
	t.Parallel()
	r := bigOrigin(t, 4)
	d := prepare(t)
	d.wrapPacks("broken", `git "$@" | head -c 500000; echo "fatal: it broke" >&2; exit 1`)
	d.run()
	d.pulled("broken", r.Dir)
	for _, version := range protocols {
		if out, err := gitClient(version, "clone", "--quiet", d.url+"/broken", filepath.Join(t.TempDir(), "clone")); err == nil {
			t.Errorf("protocol %s: a clone of half a pack\n%s", version, out)
		}
	}
	conn := d.ask("broken", r.Git("rev-parse", "main"))
	all, err := io.ReadAll(conn)
	if len(all) < 500_000 || bytes.HasSuffix(all, []byte("\r\n0\r\n\r\n")) {
		t.Errorf("half a pack ends as if it were whole: %d bytes, %v", len(all), err)
	}
	d.wait(`clone broken off.*mirror=broken`)
	d.wait(`fatal: it broke`)
}

// TestFieldPeersHavePlaces, however many clients wait for theirs.
func TestFieldPeersHavePlaces(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	tip := r.Git("rev-parse", "main")
	d := prepare(t, "max_clones = 1")
	release := d.holdPacks("held", 100)
	d.run()
	d.pulled("held", r.Dir)
	d.pulled("m", r.Dir)
	if _, err := io.ReadFull(d.ask("held", tip), make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		d.ask("m", tip)
	}
	d.waitRead()
	for _, version := range protocols {
		d.clone(version, "m", "-c", "http.extraHeader=Sould-Peer: some-id")
	}
	release()
}

// onAFullDisk starts a daemon on a disk that is full but for some bytes, with the mirrors m and
// tiny.
func onAFullDisk(t *testing.T, r, tiny *origin.Repo, room int, lines ...string) *daemon {
	t.Helper()
	dir := smallDisk(t, 32<<20)
	d := prepare(t)
	d.storage = filepath.Join(dir, "storage")
	d.configure(lines...)
	d.run()
	d.pulled("m", r.Dir)
	d.pulled("tiny", tiny.Dir)
	leave(t, filepath.Join(dir, "filler"), room)
	return d
}

// gaveUpOne checks that no more than one reader was given up.
func (d *daemon) gaveUpOne(what string) {
	d.t.Helper()
	d.logged("gave up "+what, 1)
}

// TestFieldSlowArchivesOnAFullDisk, which are sent directly, make room for others: the slowest
// first.
func TestFieldSlowArchivesOnAFullDisk(t *testing.T) {
	t.Parallel()
	d := onAFullDisk(t, bigOrigin(t, 8), newOrigin(t), 0, "max_archives = 2")
	d.get("/tiny?prefix=first").expect(t, 200) // meets the full disk
	_, ended := slowReaders(t, 2, func(i int) net.Conn { return d.getSlowly(fmt.Sprintf("/m?prefix=%d", i)) })
	none(t, ended)
	d.get("/tiny?prefix=x").expect(t, 200)
	d.wait(`(?s)WARN gave up an archive mirror=m .*client reads it too slowly`)
	d.get("/tiny?prefix=y").expect(t, 200)
	d.gaveUpOne("an archive")
	if a := d.get("/m?prefix=z").expect(t, 200); a.err != nil || len(a.body) < 8<<20 {
		t.Errorf("an archive at full speed: %d bytes, %v", len(a.body), a.err)
	}
}

// TestFieldSlowClonesOnAFullDisk make room for others as well, and without others nobody is
// given up.
func TestFieldSlowClonesOnAFullDisk(t *testing.T) {
	t.Parallel()
	for what, room := range map[string]int{"no room": 0, "some room": 1 << 20} {
		t.Run(what, func(t *testing.T) {
			r := bigOrigin(t, 20) // a pack of 10 MB: the kernel takes in 4, the disk 1
			tip := r.Git("rev-parse", "main")
			d := onAFullDisk(t, r, newOrigin(t), room, "max_clones = 2")
			packIn(t, d.ask("m", tip), tip)
			for _, version := range protocols {
				d.clone(version, "m")
			}
			_, ended := slowReaders(t, 2, func(int) net.Conn { return d.ask("m", tip) })
			none(t, ended)
			d.clone("2", "tiny")
			// It is told to the log when its client has taken in what was on its way, half a megabyte at most.
			gaveUp := regexp.MustCompile(`(?s)WARN gave up a clone mirror=m .*client reads it too slowly`)
			if !within(2*time.Minute, func() bool { return gaveUp.MatchString(d.log.String()) }) {
				t.Errorf("nobody was given up:\n%s", d.log)
			}
			d.clone("2", "m")
			d.gaveUpOne("a clone")
			d.signal(syscall.SIGTERM) // with one that is being made
			d.signal(syscall.SIGTERM)
			<-d.exited
		})
	}
}
