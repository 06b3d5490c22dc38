package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/reconquest/sould/internal/pktline"
	"github.com/reconquest/sould/tests/origin"
)

// kinds are ways to clone whose answers differ.
var kinds = map[string][]string{
	"whole": {"--mirror"}, "shallow": {"--depth=1"}, "without blobs": {"--filter=blob:none", "--no-checkout"},
}

// notePacks has the packs that git makes counted, and those of a mirror held until they are
// released.
func (d *daemon) notePacks(held string) (made func(mirror string) int, release func()) {
	d.t.Helper()
	dir := d.t.TempDir()
	notes, hold := filepath.Join(dir, "notes"), filepath.Join(dir, "hold")
	d.wrapPacks("*", fmt.Sprintf(`for of; do :; done; echo "$of" >>%s
case "$of" in */%s) while [ -e %s ]; do sleep 0.05; done;; esac; exec git "$@"`, notes, held, hold))
	for _, file := range []string{notes, hold} {
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			d.t.Fatal(err)
		}
	}
	made = func(mirror string) int {
		text, err := os.ReadFile(notes)
		if err != nil {
			d.t.Fatal(err)
		}
		return bytes.Count(text, []byte("/"+mirror+"\n"))
	}
	return made, func() { _ = os.Remove(hold) }
}

// packCounts are what the status tells of packs.
type packCounts struct{ Made, Shared int }

func (d *daemon) packCounts() packCounts {
	d.t.Helper()
	var status struct{ Packs packCounts }
	if err := json.Unmarshal(d.get("/x/status?format=json").body, &status); err != nil {
		d.t.Fatal(err)
	}
	return status.Packs
}

// cached are the files in the cache.
func (d *daemon) cached() int { return len(d.own("cache")) }

// TestEqualClones of a crowd cost as many packs as those of one client, with whatever protocol,
// and what they need after a push is made before anybody asks.
func TestEqualClones(t *testing.T) {
	for _, version := range protocols {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			const crowd = 6
			r := bigOrigin(t, 1)
			r.Git("tag", "-a", "-m", "m", "v1", "main")
			d := prepare(t)
			made, release := d.notePacks("m")
			d.run()
			d.pulled("m", r.Dir)
			d.pulled("one", r.Dir)
			for _, options := range kinds {
				d.clone(version, "one", options...)
			}
			cost := made("one") // git may need several requests for one clone
			before := d.packCounts()

			var clones sync.WaitGroup
			for range crowd {
				for _, options := range kinds {
					clones.Go(func() { d.clone(version, "m", options...) })
				}
			}
			eventually(t, "all have asked", func() bool {
				now := d.packCounts()
				return now.Made+now.Shared >= before.Made+before.Shared+crowd*len(kinds)
			})
			release()
			clones.Wait()
			if n := made("m"); n != cost || d.packCounts().Made != before.Made+n {
				t.Errorf("%d packs were made, %d are those of one client, the status tells of %+v, %+v before", n, cost, d.packCounts(), before)
			}
			for what, options := range kinds {
				dir := d.clone(version, "m", options...)
				if what != "whole" {
					continue
				}
				if got, want := refs(t, dir), refs(t, r.Dir); got != want {
					t.Errorf("the clone has\n%swant\n%s", got, want)
				}
			}
			if n := made("m"); n != cost || d.cached() != cost {
				t.Errorf("later, %d packs were made, and %d are kept, instead of %d", n, d.cached(), cost)
			}

			tip := r.Commit("main", map[string]string{"file": "new"})
			d.pulled("m", r.Dir)
			eventually(t, "they are made ahead", func() bool { return d.cached() >= cost+len(kinds) }) // nobody asks
			ahead := made("m")
			for _, options := range kinds {
				if got := in(t, d.clone(version, "m", options...), "rev-parse", "HEAD"); got != tip {
					t.Errorf("a clone %v is of %s, want %s", options, got, tip)
				}
			}
			if n := made("m") - ahead; n > cost-len(kinds) {
				t.Errorf("%d packs were not made ahead", n)
			}
		})
	}
}

// TestPacksThatAreNotShared are those of other mirrors, of other tags, and of a mirror that was
// removed.
func TestPacksThatAreNotShared(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t, fmt.Sprintf("token = %q", token))
	if got := d.postWithToken("m", r.Dir); got.StatusCode != 200 {
		t.Fatal(got)
	}
	if got := d.postWithToken("other", r.Dir); got.StatusCode != 200 {
		t.Fatal(got)
	}
	for range 2 {
		d.clone("2", "m")
	}
	if n := d.cached(); n != 1 {
		t.Errorf("%d packs are kept", n)
	}
	for range 2 {
		d.clone("2", "other")
	}
	if n := d.cached(); n != 2 {
		t.Errorf("%d packs of two mirrors are kept", n)
	}
	r.Git("tag", "-a", "-m", "m", "new", "main") // comes along, although nothing else is wanted
	if got := d.postWithToken("m", r.Dir); got.StatusCode != 200 {
		t.Fatal(got)
	}
	if got := in(t, d.clone("2", "m", "--single-branch"), "tag"); got != "new" {
		t.Errorf("a clone has the tags %q", got)
	}
	before := d.cached()
	if got := d.remove("m"); got.StatusCode != 200 {
		t.Fatal(got)
	}
	if n := d.cached(); n != 1 {
		t.Errorf("of %d packs %d are left after a removal, one of them another mirror's", before, n)
	}
}

// TestASharedPackThatFails fails for all, and is made again for the next one.
func TestASharedPackThatFails(t *testing.T) {
	t.Parallel()
	r := bigOrigin(t, 2)
	d := prepare(t)
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	d.wrapPacks("m", fmt.Sprintf(`test -e %[1]s || exec git "$@"; git "$@" | head -c 300000; while [ -s %[1]s ]; do sleep 0.05; done; echo "fatal: it broke" >&2; exit 1`, broken))
	d.run()
	d.pulled("m", r.Dir)
	for _, version := range protocols {
		var clones sync.WaitGroup
		for range 5 {
			clones.Go(func() {
				if out, err := gitClient(version, "clone", "--quiet", d.url+"/m", filepath.Join(t.TempDir(), "clone")); err == nil {
					t.Errorf("protocol %s: a clone of half a pack\n%s", version, out)
				}
			})
		}
		clones.Wait()
	}
	if n := d.cached(); n != 0 {
		t.Errorf("%d halves are kept", n)
	}
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	for _, version := range protocols {
		d.clone(version, "m")
	}
}

// TestKilledWhileAPackIsMade leaves nothing that a later clone could take for the whole.
func TestKilledWhileAPackIsMade(t *testing.T) {
	t.Parallel()
	r := bigOrigin(t, 4)
	d := prepare(t)
	release := d.holdPacks("m", 1_000_000)
	d.run()
	d.pulled("m", r.Dir)
	var clones sync.WaitGroup
	for range 2 {
		clones.Go(func() {
			if out, err := gitClient("2", "clone", "--quiet", d.url+"/m", filepath.Join(t.TempDir(), "clone")); err == nil {
				t.Errorf("a clone of a server that was killed\n%s", out)
			}
		})
	}
	eventually(t, "a pack is made", func() bool { return d.cached() > 0 })
	d.kill()
	clones.Wait()
	release()
	d.run()
	if n := d.cached(); n != 0 {
		t.Errorf("%d files are left of what was not finished", n)
	}
	d.clone("2", "m")
}

// TestAPackThatSomebodyCuts in the cache is made again, and nobody gets the rest of it.
func TestAPackThatSomebodyCuts(t *testing.T) {
	t.Parallel()
	d := start(t)
	d.pulled("m", bigOrigin(t, 1).Dir)
	for range 3 {
		d.clone("2", "m")
		d.clone("2", "m")
		names := d.own("cache")
		if len(names) != 1 {
			t.Fatalf("the cache has %q", names)
		}
		if err := os.Truncate(filepath.Join(d.storage, ".sould", "cache", names[0]), 1000); err != nil {
			t.Fatal(err)
		}
	}
	d.clone("2", "m")
}

// TestRequestsThatNobodyRepeats wash nothing out of the cache: depths, and what a client has.
func TestRequestsThatNobodyRepeats(t *testing.T) {
	t.Parallel()
	requests := 300
	if soak() {
		requests = 10_000
	}
	r := bigOrigin(t, 1)
	tip := r.Git("rev-parse", "main")
	d := start(t, `cache_size = "2MiB"`)
	d.pulled("m", r.Dir)
	d.clone("2", "m", "--depth=1")
	d.clone("2", "m", "--depth=1")
	kept := fmt.Sprint(d.own("cache"))
	for i := range requests {
		body := line("command=fetch\n") + "0001" + line("want "+tip+"\n") + line(fmt.Sprintf("deepen %d\n", i+2)) + line("done\n") + "0000"
		if got := d.do("POST", "/m/git-upload-pack", strings.NewReader(body), "Content-Type", cloneRequest, "Git-Protocol", "version=2"); got.StatusCode != 200 {
			t.Fatal(got)
		}
	}
	if got := fmt.Sprint(d.own("cache")); got != kept {
		t.Errorf("the cache has %s, had %s", got, kept)
	}
}

// TestAShareOnAFullDisk: who shares a pack for which there is no room gets all of it.
func TestAShareOnAFullDisk(t *testing.T) {
	t.Parallel()
	d := onAFullDisk(t, bigOrigin(t, 4), newOrigin(t), 0)
	var clones sync.WaitGroup
	for range 4 {
		clones.Go(func() { d.clone("2", "m") })
	}
	clones.Wait()
}

// TestAReaderThatStallsHoldsNobody who shares its pack.
func TestAReaderThatStallsHoldsNobody(t *testing.T) {
	t.Parallel()
	r := bigOrigin(t, 12)
	d := start(t)
	d.pulled("m", r.Dir)
	body := line("command=fetch\n") + "0001" + line("want "+r.Git("rev-parse", "main")+"\n") + line("done\n") + "0000"
	ask := func() *http.Response {
		request, err := http.NewRequestWithContext(t.Context(), "POST", d.url+"/m/git-upload-pack", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", cloneRequest)
		request.Header.Set("Git-Protocol", "version=2")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { response.Body.Close() })
		return response
	}
	stalled := ask()
	var answers [][]byte
	for range 3 {
		all, err := io.ReadAll(ask().Body)
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, all)
	}
	all, err := io.ReadAll(stalled.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, answer := range answers {
		if !bytes.Equal(answer, all) {
			t.Errorf("answers of %d and %d bytes differ", len(answer), len(all))
		}
	}
}

// TestAPackIsWhatGitSays, also when it comes from the cache, whence it comes byte for byte.
func TestAPackIsWhatGitSays(t *testing.T) {
	t.Parallel()
	r := bigOrigin(t, 1)
	d := start(t)
	d.pulled("m", r.Dir)
	tip := r.Git("rev-parse", "main")
	for version, body := range map[string]string{
		"2": line("command=fetch\n") + "0001" + line("no-progress\n") + line("want "+tip+"\n") + line("done\n") + "0000",
		"1": line("want "+tip+" no-progress\n") + "0000" + line("done\n"),
		"0": line("want "+tip+" side-band-64k no-progress\n") + "0000" + line("done\n"),
	} {
		git := origin.Command("-c", "uploadpack.allowAnySHA1InWant=true", "upload-pack", "--stateless-rpc", d.mirror("m"))
		git.Env = append(git.Environ(), "GIT_PROTOCOL=version="+version)
		git.Stdin = strings.NewReader(body)
		want, err := git.Output()
		if err != nil {
			t.Fatal(err)
		}
		var answers [][]byte
		for i := range 4 {
			got := d.do("POST", "/m/git-upload-pack", strings.NewReader(body), "Content-Type", cloneRequest, "Git-Protocol", "version="+version)
			if got.StatusCode != 200 || !bytes.Equal(content(got.body), content(want)) {
				t.Errorf("version %s, %d: %s, %d bytes, want %d", version, i, got.Status, len(got.body), len(want))
			}
			answers = append(answers, got.body)
		}
		if !bytes.Equal(answers[2], answers[1]) || !bytes.Equal(answers[3], answers[1]) {
			t.Errorf("version %s: what is kept is another answer", version)
		}
	}
}

// content is an answer without the lengths of its packets, which depend on how fast git is, and
// without what it says to a person.
func content(answer []byte) (all []byte) {
	for p := pktline.NewReader(bytes.NewReader(answer)); ; {
		switch line, special, err := p.Next(); {
		case err == io.EOF:
			return all
		case err != nil: // a pack without a side-band
			return append(all, answer...)
		case special != "":
			all = append(all, special...)
		case len(line) > 0 && line[0] == 1:
			all = append(all, line[1:]...)
		case len(line) > 0 && line[0] != 2:
			all = append(all, line...)
		}
	}
}
