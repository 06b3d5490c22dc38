package tests

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// origins are servers that do not mean well.
func (h *hostile) origins(t *testing.T) []hostileCase {
	const user, password = "t0ken-us3r", "s3cr3t-p4ss"
	login := func(raw string) string { return strings.Replace(raw, "://", "://"+user+":"+password+"@", 1) }
	serve := func(answer http.HandlerFunc) string {
		server := httptest.NewServer(answer)
		t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
		return server.URL
	}
	thief := make(chan string, 100)
	elsewhere := serve(func(w http.ResponseWriter, r *http.Request) {
		if auth := r.Header.Get("Authorization"); auth != "" {
			thief <- auth
		}
		http.NotFound(w, r)
	})
	status := func(code int) string {
		return serve(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="`+user+`"`)
			w.WriteHeader(code)
			// An origin may well repeat what it was told.
			fmt.Fprintf(w, "%s %s %s", r.Header.Get("Authorization"), r.URL, code2text(r))
		})
	}
	redirect := func(to string) string {
		return serve(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, to+r.URL.RequestURI(), http.StatusFound)
		})
	}
	advertise := func(body string) string {
		return serve(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			_, _ = io.WriteString(w, body)
		})
	}
	real := origin.NewProxy(t, origin.ServeHTTP(t, filepath.Dir(h.local)).URL)
	real.Set(origin.Fault{Drip: 50 * time.Millisecond})
	mute := origin.NewProxy(t, real.Addr)
	mute.Set(origin.Fault{Mute: true})
	bomb := serve(func(w http.ResponseWriter, r *http.Request) { // endless, and small on the way
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		line := []byte("003f" + strings.Repeat("a", 40) + " refs/heads/" + strings.Repeat("x", 6) + "\n")
		for r.Context().Err() == nil {
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	})
	at := func(what, raw string) hostileCase { return h.posting(what, 500, fields("hostile", raw)) }
	cases := []hostileCase{
		at("401 with a password", login(status(401))+"/x.git"),
		at("403 with a password", login(status(403))+"/x.git"),
		at("404 with a password", login(status(404))+"/x.git"),
		at("500 with a password", login(status(500))+"/x.git"),
		at("a redirect to another host, with a password", login(redirect(elsewhere))+"/x.git"),
		at("a redirect to a file", redirect("file://"+h.local)+"/x.git"),
		at("a redirect to ext::", redirect("ext::touch")+"/x.git"),
		at("a redirect in a circle", serve(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.RequestURI(), http.StatusFound)
		})+"/x.git"),
		at("a mute port, with a password", login("http://"+mute.Addr)+"/x.git"),
		at("a dripping port", "http://"+real.Addr+"/"+filepath.Base(h.local)),
		at("a black hole", "git://"+origin.BlackHole(t)+"/x.git"),
		at("a closed port, with a password", login("http://127.0.0.1:1")+"/x.git"),
		at("a page instead of refs", advertise("<html>"+password+"</html>")+"/x.git"),
		at("a pkt-line that is none", advertise("zzzz")+"/x.git"),
		at("an endless list", bomb+"/x.git"),
		at("a list of wrong ids", advertise("001e# service=git-upload-pack\n0000"+pkt("deadbeef refs/heads/main\x00 agent=x\n")+"0000")+"/x.git"),
		h.posting("+refs out of refs/", 200, fields("illegal", advertise("001e# service=git-upload-pack\n0000"+pkt(strings.Repeat("a", 40)+" ../../../HEAD\x00 agent=x\n")+
			pkt(strings.Repeat("b", 40)+" refs/heads/../../config\n")+"0000")+"/x.git")), // they are left out
		h.posting("a password, at last", 500, fields("hostile", login("http://127.0.0.1:1")+"/x.git"), "Accept", "application/json"),
	}
	return append(cases, hostileCase{"nobody was sent the password", 200, func() (int, string) {
		select {
		case auth := <-thief:
			return 0, "sent on: " + auth[:6]
		default:
			return 200, ""
		}
	}})
}

func code2text(r *http.Request) string {
	user, password, _ := r.BasicAuth()
	return user + " " + password
}

// pkt is a line of git's protocols.
func pkt(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }

// repositories are good servers with bad content.
func (h *hostile) repositories(t *testing.T) []hostileCase {
	root := t.TempDir()
	repo := func(name string, options ...string) *origin.Repo {
		return origin.New(t, filepath.Join(root, name+".git"), options...)
	}
	commit := func(r *origin.Repo, ref, tree string) string {
		id := r.Git("commit-tree", "-m", "m", tree)
		r.Git("update-ref", ref, id)
		return id
	}
	// mktree refuses such entries; so the tree is written as it is.
	evil := func(r *origin.Repo, mode, entry, id string) string {
		raw := make([]byte, 20)
		for i := range raw {
			n, err := strconv.ParseUint(id[2*i:2*i+2], 16, 8)
			if err != nil {
				t.Fatal(err)
			}
			raw[i] = byte(n)
		}
		return r.GitIn(mode+" "+entry+"\x00"+string(raw), "hash-object", "-t", "tree", "-w", "--literally", "--stdin")
	}
	tree := func(name, mode, entry string) string {
		r := repo(name)
		blob := r.GitIn("pwned", "hash-object", "-w", "--stdin")
		if mode == "40000" {
			blob = r.GitIn("100644 blob "+blob+"\tx\n", "mktree")
		}
		commit(r, "refs/heads/main", evil(r, mode, entry, blob))
		return r.Dir
	}

	sha256 := repo("sha256", "--object-format=sha256")
	sha256.Commit("main", map[string]string{"f": "1"})

	loop := repo("loop")
	a, b := loop.Commit("main", map[string]string{"f": "1"}), loop.Commit("main", map[string]string{"f": "2"})
	loop.Git("update-ref", "refs/replace/"+a, b)
	loop.Git("update-ref", "refs/replace/"+b, a)

	options := repo("options")
	tip := options.Commit("main", map[string]string{"f": "1"})
	for _, name := range []string{"--upload-pack=x", "-x", "--output=x", "--exec=x", "$(id)", ";id", "|id", "`id`", "HEAD", "refs/heads/main"} {
		options.Git("update-ref", "refs/heads/"+name, tip)
	}

	links := repo("links")
	links.Import("commit refs/heads/main\ncommitter T <t@e> 1 +0000\ndata 1\nx\n" +
		"M 120000 inline up\ndata 14\n../../../../..\nM 120000 inline abs\ndata 11\n/etc/passwd\nM 100644 inline file\ndata 1\nx\n\n")

	many := repo("many")
	manyTip := many.Commit("main", map[string]string{"f": "1"})
	var packed strings.Builder
	packed.WriteString("# pack-refs with: peeled fully-peeled sorted \n")
	for i := range shortOrLong(20_000, 200_000) {
		fmt.Fprintf(&packed, "%s refs/heads/n%06d\n", manyTip, i)
	}
	if err := os.WriteFile(filepath.Join(many.Dir, "packed-refs"), []byte(packed.String()), 0o644); err != nil {
		t.Fatal(err)
	}

	deep := repo("deep")
	deep.Import("commit refs/heads/main\ncommitter T <t@e> 1 +0000\ndata 1\nx\nM 100644 inline " + strings.Repeat("d/", 30_000) + "f\ndata 1\nx\n\n")

	bomb := repo("bomb")
	blob := bomb.GitIn("bomb", "hash-object", "-w", "--stdin")
	mode, kind := "100644", "blob"
	for range 10 {
		var entries strings.Builder
		for i := range 10 {
			fmt.Fprintf(&entries, "%s %s %s\tf%d\n", mode, kind, blob, i)
		}
		blob = bomb.GitIn(entries.String(), "mktree")
		mode, kind = "040000", "tree"
	}
	commit(bomb, "refs/heads/main", blob)

	// "+": a mirror is made.
	post := func(what string, want int, dir string) hostileCase {
		name := "repo/" + strings.TrimSuffix(filepath.Base(dir), ".git")
		return h.posting(what, want, fields(name, dir))
	}
	broken := func(what, path string) hostileCase { // an error or a connection that is cut, but no whole answer
		return hostileCase{what, 500, func() (int, string) {
			a, err := h.d.try("GET", path, nil)
			if err != nil || a.err != nil {
				return 500, ""
			}
			return shown(a)
		}}
	}
	contents := func(what, path, member string) hostileCase {
		return hostileCase{what, 200, func() (int, string) {
			a := h.d.get(path)
			if files := a.files(t); files[member] == "" {
				return 0, fmt.Sprint(files)
			}
			return 200, ""
		}}
	}
	cases := []hostileCase{
		post("+SHA-256", 200, sha256.Dir), contents("SHA-256 is served", "/repo/sha256", "f"),
		post("+refs/replace in a loop", 200, loop.Dir), contents("it is not followed", "/repo/loop?ref="+b, "f"),
		post("a tree with ..", 500, tree("dotdot", "40000", "..")),
		post("a tree with .git", 500, tree("dotgit", "40000", ".git")),
		post("a tree with .GIT as a file", 500, tree("dotgitfile", "100644", ".GIT")),
		post("a tree with a slash", 500, tree("slash", "100644", "a/../../b")),
		post("a tree with git~1", 500, tree("short", "40000", "git~1")),
		post("refs named like options", 200, options.Dir), contents("they are served", "/repo/options?ref=refs/heads/--output=x", "f"),
		h.getting("not by their short names", 400, "/repo/options?ref=--output=x"),
		post("links out of the tree", 200, links.Dir), contents("links are links", "/repo/links", "file"),
		h.getting("nobody goes through a link", 404, "/repo/links?path=abs/x"),
		h.getting("nor up", 404, "/repo/links?path=up/canary"),
		post("very many refs", 200, many.Dir), contents("they are served", "/repo/many?ref=n019999", "f"),
	}
	if !soak() { // TestTreesThatBreakGit has the same
		return cases
	}
	return append(cases,
		post("30,000 directories in each other", 200, deep.Dir), broken("git archive does not take them", "/repo/deep"),
		post("a tree bomb", 200, bomb.Dir), broken("it does not explode", "/repo/bomb"), broken("nor compressed", "/repo/bomb?format=tar.gz"),
		h.getting("nor is it forgotten", 500, "/repo/bomb"),
	)
}

// links are symbolic links in the storage, which an operator or an intruder may have
// made.
func (h *hostile) links(t *testing.T) []hostileCase {
	link := func(name, to string) {
		path := h.d.mirror(name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
	}
	link("link/out", filepath.Join(h.outer, "in", "secret"))
	link("link/round", "..")
	link("link/nowhere", filepath.Join(h.outer, "in", "made"))
	link("link/self", "self")
	return []hostileCase{
		h.getting("a link to a directory that is no mirror", 404, "/link/out"),
		h.getting("a link that goes round", 404, "/link/round/good/m"),
		h.posting("a link that goes round", 500, fields("link/round/good/m", h.local)),
		h.getting("a link to itself", 500, "/link/self"),
		h.posting("a mirror in place of a link", 500, fields("link/out", h.local)),
		h.posting("a mirror in place of a link to nowhere", 500, fields("link/nowhere", h.local)),
		h.posting("a mirror behind a link", 500, fields("link/out/m", h.local)),
		h.posting("a mirror behind a link to nowhere", 500, fields("link/nowhere/m", h.local)),
	}
}
