package tests

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

const uploadPack = "application/x-git-upload-pack-request"

// TestHostileClients sends what no git sends to where git asks, and odd questions to the
// rest of the surface, to a server that wants no token. What must hold stands at
// TestHostile.
func TestHostileClients(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	h := newHostile(t, r, nil)
	lost := r.Commit("main", map[string]string{"file": "lost"})
	h.pulled("good/kept", r)
	r.Git("update-ref", "refs/heads/main", "main^")
	h.pulled("good/kept", r)
	hidden := h.keptRef(t, "good/kept")
	t.Run("packs", func(t *testing.T) { h.run(t, h.packs()) })
	t.Run("questions", func(t *testing.T) { h.run(t, h.questions()) })
	t.Run("kept", func(t *testing.T) { h.run(t, h.kept(hidden, lost)) })
}

// keptRef is the one ref under refs/sould/ that a mirror has.
func (h *hostile) keptRef(t *testing.T, name string) string {
	t.Helper()
	out, err := origin.Command("--git-dir="+h.d.mirror(name), "for-each-ref", "--format=%(refname)", "refs/sould/").CombinedOutput()
	ref := strings.TrimSpace(string(out))
	if err != nil || !strings.HasPrefix(ref, "refs/sould/kept/") || strings.Contains(ref, "\n") {
		t.Fatalf("kept are %q, %v", out, err)
	}
	return ref
}

// asking is a request of any kind.
func (h *hostile) asking(what string, want int, method, path, body string, headers ...string) hostileCase {
	return hostileCase{what, want, func() (int, string) {
		a, err := h.d.try(method, path, strings.NewReader(body), headers...)
		if err != nil {
			return 0, err.Error()
		}
		return shown(a)
	}}
}

// wanting is a request for objects.
func (h *hostile) wanting(what string, want int, body string, headers ...string) hostileCase {
	return h.asking(what, want, "POST", "/good/m/git-upload-pack", body, append([]string{"Content-Type", uploadPack}, headers...)...)
}

// gzipped is size bytes of a text again and again, deflated.
func gzipped(text string, size int) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	block := strings.Repeat(text, max(1, (1<<20)/len(text)))
	for left := size; left > 0; left -= len(block) {
		_, _ = io.WriteString(w, block[:min(left, len(block))])
	}
	_ = w.Close()
	return b.String()
}

// packs are requests for objects.
func (h *hostile) packs() []hostileCase {
	tip := h.refs[strings.LastIndex(h.refs, " ")+1:][:40]
	none := strings.Repeat("d", 40)
	two := []string{"Git-Protocol", "version=2"}
	packed := []string{"Content-Encoding", "gzip"}
	fetch := func(arguments ...string) string {
		var b strings.Builder
		b.WriteString(pkt("command=fetch") + "0001")
		for _, a := range arguments {
			b.WriteString(pkt(a))
		}
		return b.String() + "0000"
	}
	filtered := func(want int, filter string) hostileCase {
		return h.wanting("the filter "+filter, want, fetch("want "+tip, "filter "+filter, "done"), two...)
	}
	list := func(arguments ...string) string {
		return strings.Replace(fetch(arguments...), "0011command=fetch", "0014command=ls-refs\n", 1)
	}
	return []hostileCase{
		h.wanting("a bomb of zeros", 413, gzipped("\x00", 200<<20), packed...),
		h.wanting("a bomb of pkt-lines", 413, gzipped("0000", 200<<20), packed...),
		h.wanting("a bomb in a bomb", 400, gzipped(gzipped("\x00", 50<<20), 1), packed...),
		h.wanting("pkt-lines without end, or nearly", 200, gzipped("0000", 32<<20), packed...),
		h.wanting("gzip that is none", 400, "0000", packed...),
		h.wanting("gzip that breaks off", 400, gzipped("0000", 1<<20)[:500], packed...),
		h.wanting("gzip twice", 415, gzipped("0000", 4), "Content-Encoding", "gzip, gzip"),
		h.wanting("an encoding nobody knows", 415, "0000", "Content-Encoding", "../../br"),
		h.wanting("a form", 415, "0000", "Content-Type", formType),
		h.wanting("the type of a push", 415, "0000", "Content-Type", "application/x-git-receive-pack-request"),
		h.wanting("a type that is none", 415, "0000", "Content-Type", ";;;"),
		h.wanting("garbage", 400, "\x00\xff\x00\xff\x1b[2J"),
		h.wanting("no length", 400, "zzzzwant "+tip),
		h.wanting("a length with a sign", 400, "+032want "+tip+"\n0000"),
		h.wanting("the end of an answer", 400, "0002"),
		h.wanting("the end of an answer, in version 2", 400, strings.TrimSuffix(fetch("done"), "0000")+"0002", two...),
		h.wanting("two filters", 400, fetch("want "+tip, "filter blob:none", "filter tree:0", "done"), two...),
		h.wanting("a length of three", 400, "0003"),
		h.wanting("a length over the limit", 400, "fff1"+strings.Repeat("x", 0xfff1)),
		h.wanting("a length that breaks off", 400, "00"),
		h.wanting("a line that breaks off", 400, "0032want "+tip[:10]),
		h.wanting("half a request", 400, pkt("want "+tip+"\n")),
		h.wanting("an object that nobody has", 200, pkt("want "+none+"\n")+"0000"+pkt("done\n")), // told in git's own words
		h.wanting("an id that is none", 400, pkt("want ../../../../etc/passwd\n")+"0000"+pkt("done\n")),
		h.wanting("a command that there is not", 400, pkt("command=--exec=sh")+"0000", two...),
		h.wanting("a capability that there is not", 400, pkt("command=ls-refs\n")+pkt("object-format=md5")+"0000", two...),
		h.wanting("a list of refs by options", 400, list("--upload-pack=x"), two...),
		h.wanting("100,000 prefixes", 200, list(strings.Split(strings.Repeat("ref-prefix refs/heads/x\n,", 100_000), ",")[:100_000]...), two...),
		h.wanting("a depth of less than nothing", 400, fetch("want "+tip, "deepen -1", "done"), two...),
		h.wanting("a depth beyond all", 400, fetch("want "+tip, "deepen 99999999999999999999", "done"), two...),
		filtered(400, "sparse:path=/etc/passwd"), filtered(200, "sparse:oid=main:file"), filtered(200, "sparse:oid="+none), filtered(200, "combine:tree:0+sparse:oid=main:file"),
		filtered(400, "tree:-1"), filtered(400, "blob:limit=99999999999999999999"), filtered(400, "object:type=x"), filtered(400, "combine:~"), filtered(400, "combine:"), filtered(400, "--exec=sh"),
		h.wanting("a filter of filters", 200, fetch("want "+tip, "filter "+strings.Repeat("combine:", 3000)+"tree:0", "done"), two...),
		h.wanting("a ref by name", 400, fetch("want-ref refs/heads/main", "done"), two...),
		h.wanting("no words at all", 400, ""),
		h.asking("of a mirror that there is not", 404, "POST", "/good/none/git-upload-pack", "0000", "Content-Type", uploadPack),
		h.asking("of no mirror", 400, "POST", "/git-upload-pack", "0000", "Content-Type", uploadPack),
		h.asking("of what is not for anybody", 400, "POST", "/.sould/neutral/git-upload-pack", "0000", "Content-Type", uploadPack),
		h.asking("of what is outside", 400, "POST", "/%2e%2e/storage/git-upload-pack", "0000", "Content-Type", uploadPack),
		h.asking("of a part of a mirror", 404, "POST", "/good/m/objects/git-upload-pack", "0000", "Content-Type", uploadPack),
		h.asking("a push", 403, "POST", "/good/m/git-receive-pack", "0000", "Content-Type", "application/x-git-receive-pack-request"),
		{"a push with 1 GB to come", 403, func() (int, string) {
			return h.talk("POST /good/m/git-receive-pack HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n" + strings.Repeat("x", 70<<10))
		}},
		h.asking("objects by GET", 405, "GET", "/good/m/git-upload-pack", ""),
		{"git itself pushes", 1, func() (int, string) {
			out, err := origin.Command("--git-dir="+h.local, "push", "--mirror", h.d.url+"/good/m").CombinedOutput()
			if err == nil || !strings.Contains(string(out), "403") {
				return 0, string(out)
			}
			return 1, string(out)
		}},
	}
}

// questions are those that a client begins with, and those about the server.
func (h *hostile) questions() []hostileCase {
	const refs = "/good/m/info/refs?service=git-upload-pack"
	own := strings.TrimSpace(read(h.t, h.d.mirror(".sould/id")))
	flood := strings.Repeat(`"x", W/"y",`, 1300)
	good := fields("good/m", h.local)
	return []hostileCase{
		h.getting("the service of a push", 403, "/good/m/info/refs?service=git-receive-pack"),
		h.getting("a service that there is not", 403, "/good/m/info/refs?service=git-upload-archive"),
		h.getting("a service as an option", 403, "/good/m/info/refs?service=--exec=sh"),
		h.getting("no service", 400, "/good/m/info/refs"),
		h.getting("a query that is none", 400, "/good/m/info/refs?%zz"),
		h.getting("a name that leads out", 400, "/%2e%2e/%2e%2e/in/storage.git/info/refs?service=git-upload-pack"),
		h.getting("a file of a mirror", 404, "/good/m/objects/info/packs"),
		h.getting("HEAD as a file", 404, "/good/m/HEAD"),
		h.getting("the mirror's configuration", 404, "/good/m/config"),
		h.getting("a version that there is not", 200, refs, "Git-Protocol", "version=99999999999999999999"),
		h.getting("a version below all", 200, refs, "Git-Protocol", "version=-1:version=2"),
		h.getting("a version and more", 200, refs, "Git-Protocol", "version=2;touch "+h.outer+"/in/pwned"),
		h.getting("a very long version", 200, refs, "Git-Protocol", strings.Repeat("version=2:", 1500)),
		h.getting("an If-None-Match without end", 200, refs, "If-None-Match", flood),
		h.getting("status, with an If-None-Match without end", 200, "/x/status", "If-None-Match", flood),
		h.getting("If-None-Match and If-Match", 412, "/good/m", "If-None-Match", flood, "If-Match", `"x"`),
		h.getting("status in no format", 400, "/x/status?format=../../etc/passwd"),
		h.getting("status in two formats", 400, "/x/status?format=json&format=toml"),
		h.getting("status of what leads out", 400, "/x/status?name=../../in/secret"),
		h.getting("status of the server's own", 400, "/x/status?name=.sould/cache"),
		h.getting("status of nothing", 404, "/x/status?name=good/none"),
		h.getting("status of what is above", 404, "/x/status?name=good"),
		h.getting("status, waiting for ever", 400, "/x/status?wait=9e99h"),
		h.getting("status, waiting backwards", 400, "/x/status?wait=-1s"),
		h.getting("status, upstream of nothing", 400, "/x/status?upstream=yes"),
		h.getting("status with a parameter that there is not", 400, "/x/status?callback=alert(1)"),
		h.getting("status with a query that is none", 400, "/x/status?%zz=%00"),
		h.getting("status by way of too many", 400, "/x/status", "Sould-Via", strings.Repeat("x,", 100)),
		h.getting("status by way of a very long one", 400, "/x/status", "Sould-Via", strings.Repeat("x", 65)),
		h.getting("status by way of itself", 200, "/x/status", "Sould-Via", own),
		h.getting("what is below the status", 404, "/x/status/../../etc/passwd"),
		h.getting("a health of something", 404, "/x/health/x"),
		h.asking("commands to the status", 405, "POST", "/x/status", good, "Content-Type", formType),
		h.asking("commands to the health", 405, "DELETE", "/x/health", ""),
		h.posting("from itself", 508, good, "Sould-Peer", own),
		h.posting("by way of itself", 200, good, "Sould-Via", own),
		h.posting("by way of a very long one", 400, good, "Sould-Via", strings.Repeat("x", 65)),
		h.posting("by way of one who is many", 400, good, "Sould-Via", strings.Repeat("a,", 33)),
		h.posting("from a peer with a long name", 200, good, "Sould-Peer", strings.Repeat("x", 10_000)),
		h.asking("DELETE without a token", 403, "DELETE", "/good/m", ""),
		h.asking("DELETE for another server", 403, "DELETE", "/good/m", "", "Sould-Via", "x", "Sould-Peer", "y"),
		h.asking("DELETE with the token of nobody", 403, "DELETE", "/good/m", "", "Authorization", bearer("")),
		h.asking("DELETE of what leads out", 403, "DELETE", "/%2e%2e/canary", ""),
		h.asking("DELETE of all", 405, "DELETE", "/", ""),
		h.asking("PUT", 405, "PUT", "/good/m", "x"),
		{"what the server as a whole can do", 405, func() (int, string) {
			return h.talk("OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		}},
		{"a change to HTTP/2", 200, func() (int, string) {
			return h.talk("GET /good/m HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n")
		}},
		{"two lines of Sould-Via", 200, func() (int, string) { // of a proxy that adds one
			return h.talk(fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nSould-Via: a\r\nSould-Via: %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", own, len(good), good))
		}},
	}
}

// kept are ways to what the server keeps for itself. Only who knows the id of a commit
// has it.
func (h *hostile) kept(ref, lost string) []hostileCase {
	const refs = "/good/kept/info/refs?service=git-upload-pack"
	silent := func(c hostileCase) hostileCase {
		return hostileCase{c.what, c.want, func() (int, string) {
			status, output := c.do()
			if strings.Contains(output, "refs/sould") || strings.Contains(output, lost) {
				return 0, output
			}
			return status, output
		}}
	}
	two := []string{"Content-Type", uploadPack, "Git-Protocol", "version=2"}
	ask := func(what string, want int, body string) hostileCase {
		return silent(h.asking(what, want, "POST", "/good/kept/git-upload-pack", body, two...))
	}
	return []hostileCase{
		h.getting("a kept ref", 404, "/good/kept?ref="+ref),
		h.getting("a kept ref without refs/", 404, "/good/kept?ref="+strings.TrimPrefix(ref, "refs/")),
		h.getting("a kept ref up and down", 400, "/good/kept?ref=refs/heads/../"+strings.TrimPrefix(ref, "refs/")),
		h.getting("a kept commit", 200, "/good/kept?ref="+lost),
		silent(h.getting("is not shown", 200, refs)),
		silent(h.getting("is not shown in version 1", 200, refs, "Git-Protocol", "version=1")),
		ask("nor in version 2", 200, pkt("command=ls-refs\n")+"0001"+pkt("ref-prefix refs/sould/\n")+"0000"),
		ask("nor by git itself", 200, pkt("command=ls-refs\n")+pkt("agent=x")+"0001"+pkt("unborn")+pkt("ref-prefix refs/sould/\n")+"0000"+"0000"), // more than one request
		h.asking("nor fetched by name", 400, "POST", "/good/kept/git-upload-pack", pkt("command=fetch")+"0001"+pkt("want-ref "+ref)+pkt("done")+"0000", two...),
	}
}
