package tests

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// TestHostileStrangers sends requests to a server that wants tokens, has a name, and may
// read some origins only. What must hold stands at TestHostile.
func TestHostileStrangers(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	var elsewhere atomic.Int64 // requests that came where none may come
	forbidden := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		elsewhere.Add(1)
		http.NotFound(w, nil)
	}))
	t.Cleanup(forbidden.Close)
	team := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/team/") {
			elsewhere.Add(1)
		}
		http.Redirect(w, r, forbidden.URL+r.URL.RequestURI(), http.StatusTemporaryRedirect)
	}))
	t.Cleanup(team.Close)
	h := newHostile(t, r, []string{"Authorization", bearer(token)},
		fmt.Sprintf("token = %q", token), fmt.Sprintf("read_token = %q", readToken), `allow_hosts = ["127.0.0.1"]`,
		fmt.Sprintf("origins = [%q, %q]", r.Dir, team.URL+"/team/"))
	t.Run("tokens", func(t *testing.T) { h.run(t, h.tokens()) })
	t.Run("removals", func(t *testing.T) { h.run(t, h.removals()) })
	t.Run("hosts", func(t *testing.T) { h.run(t, h.hosts()) })
	t.Run("allowed", func(t *testing.T) { h.run(t, h.allowed(team.URL, forbidden.URL)) })
	if n := elsewhere.Load(); n > 0 {
		t.Errorf("%d requests came where none may come", n)
	}
}

// nearly are headers that bring something like a token.
func nearly(right string) [][]string {
	return [][]string{
		{}, {"Authorization", ""}, {"Authorization", "Bearer"}, {"Authorization", right},
		{"Authorization", bearer(stranger)}, {"Authorization", bearer(right + "x")}, {"Authorization", bearer(right[1:])},
		{"Authorization", bearer(right[:len(right)-1])}, {"Authorization", bearer(strings.ToUpper(right))},
		{"Authorization", bearer(right + " " + right)}, {"Authorization", bearer(right + "," + right)}, {"Authorization", "Bearer\t" + right},
		{"Authorization", bearer(`"` + right + `"`)}, {"Authorization", "Digest " + right}, {"Authorization", basic(stranger)},
		{"Authorization", bearer("***")}, {"Authorization", bearer(strings.Repeat(right, 15_000/len(right)))},
		{"Proxy-Authorization", bearer(right)}, {"Cookie", "token=" + right}, {"X-Token", right},
	}
}

// tokens are requests without the right one.
func (h *hostile) tokens() (cases []hostileCase) {
	good := fields("good/m", h.local)
	revision := h.refs[strings.LastIndex(h.refs, " ")+1:][:40]
	for i, headers := range nearly(token) {
		cases = append(cases, h.posting(fmt.Sprint("POST, nearly ", i), 401, good, headers...))
	}
	for i, headers := range nearly(readToken) {
		cases = append(cases, h.getting(fmt.Sprint("GET, nearly ", i), 401, "/good/m", headers...))
	}
	read, command := []string{"Authorization", bearer(readToken)}, []string{"Authorization", bearer(token)}
	pack := append([]string{"Content-Type", uploadPack}, read...)
	return append(cases,
		h.posting("a password for a command", 401, good, "Authorization", basic(token)),
		h.posting("reading for a command", 401, good, read...),
		h.asking("a token in the query", 401, "POST", "/?token="+token+"&access_token="+token, good, "Content-Type", formType),
		h.posting("a token in the form", 401, good+"&token="+token),
		h.posting("a command from another site, with the token", 403, good, append([]string{"Sec-Fetch-Site", "cross-site"}, command...)...),
		h.posting("for a peer, without a token", 401, good, "Sould-Peer", "x", "Sould-Via", "y"),
		h.getting("a token in the query of a GET", 401, "/good/m?read_token="+readToken),
		h.getting("a commit, and it is in caches", 401, "/good/m?ref="+revision, "If-None-Match", "*"),
		h.getting("a mirror that there is not", 401, "/good/none"),
		h.getting("status", 401, "/x/status"),
		h.getting("status for a peer", 401, "/x/status?format=json", "Sould-Peer", "x"),
		h.getting("what is not there", 401, "/x/none"),
		h.getting("health in other words", 401, "//x/health"),
		h.getting("health", 200, "/x/health"),
		h.asking("HEAD", 401, "HEAD", "/good/m", ""),
		h.getting("a clone", 401, "/good/m/info/refs?service=git-upload-pack"),
		h.getting("a clone with half a token", 401, "/good/m/info/refs?service=git-upload-pack", "Authorization", basic(readToken[:10])),
		h.asking("objects", 401, "POST", "/good/m/git-upload-pack", "0000", "Content-Type", uploadPack),
		h.asking("a bomb without a token", 401, "POST", "/good/m/git-upload-pack", gzipped("\x00", 20<<20), "Content-Type", uploadPack, "Content-Encoding", "gzip"),
		h.asking("objects, for reading", 200, "POST", "/good/m/git-upload-pack", "0000", pack...),
		h.asking("objects of no mirror", 400, "POST", "/git-upload-pack", good, pack...),
		h.asking("a push, for reading", 401, "POST", "/good/m/git-receive-pack", "0000", read...),
		h.asking("a push with the token", 403, "POST", "/good/m/git-receive-pack", "0000", command...),
		h.getting("the service of a push", 403, "/good/m/info/refs?service=git-receive-pack", read...),
		h.asking("a method that there is not", 405, "BREW", "/good/m", ""),
		hostileCase{"two tokens, the wrong one first", 401, func() (int, string) {
			return h.talk("GET /good/m HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: " + bearer(stranger) + "\r\nAuthorization: " + bearer(token) + "\r\n\r\n")
		}},
		h.posting("the token at last", 200, good, command...),
	)
}

// removals are DELETEs that nobody may send, or that mean no mirror.
func (h *hostile) removals() (cases []hostileCase) {
	for i, headers := range nearly(token) {
		cases = append(cases, h.asking(fmt.Sprint("DELETE, nearly ", i), 401, "DELETE", "/good/m", "", headers...))
	}
	command := []string{"Authorization", bearer(token)}
	remove := func(what string, want int, path string, headers ...string) hostileCase {
		return h.asking(what, want, "DELETE", path, "", append(headers, command...)...)
	}
	return append(cases,
		h.asking("for reading", 401, "DELETE", "/good/m", "", "Authorization", bearer(readToken)),
		h.asking("with a password", 401, "DELETE", "/good/m", "", "Authorization", basic(token)),
		h.asking("with a token in the query", 401, "DELETE", "/good/m?token="+token, ""),
		h.asking("for another server, without a token", 401, "DELETE", "/good/m", "", "Sould-Via", "x", "Sould-Peer", "y"),
		h.asking("by way of POST", 405, "POST", "/good/m", "", "X-HTTP-Method-Override", "DELETE"),
		remove("from another site", 403, "/good/m", "Sec-Fetch-Site", "cross-site"),
		remove("what leads out", 400, "/%2e%2e/canary"),
		remove("what leads out and in", 400, "/good/m/%2e%2e/%2e%2e/%2e%2e/in/secret"),
		remove("what leads out, by a slash that is encoded", 400, "/good%2f..%2f..%2fsecret"),
		remove("what leads out, encoded twice", 400, "/%252e%252e/secret"),
		remove("the server's own", 400, "/.sould/id"),
		remove("the lock", 400, "/.sould/lock"),
		remove("the trash", 400, "/.sould/trash"),
		remove("what is above a mirror", 404, "/good"),
		remove("a part of a mirror", 404, "/good/m/refs"),
		remove("a name with NUL", 400, "/good/m%00"),
		remove("all", 405, "/"),
		remove("all, with a star", 400, "/*"),
		remove("the status", 405, "/x/status"),
		remove("a clone", 405, "/good/m/info/refs"),
		remove("by way of too many", 400, "/good/m", "Sould-Via", strings.Repeat("x,", 100)),
		remove("by way of a very long one", 400, "/good/m", "Sould-Via", strings.Repeat("x", 65)),
		remove("a mirror that there is not", 404, "/good/none"),
		remove("what leads out, for another server", 400, "/%2e%2e/canary", "Sould-Via", "x"),
	)
}

// hosts are names that are not the server's.
func (h *hostile) hosts() (cases []hostileCase) {
	named := func(what string, want int, target, host string) hostileCase {
		return hostileCase{what, want, func() (int, string) {
			return h.talk("GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\nAuthorization: " + bearer(token) + "\r\nConnection: close\r\n\r\n")
		}}
	}
	for _, host := range []string{
		"evil.example", "127.0.0.1.evil.example", "evil.example:80", "127.0.0.1.", "127.0.0.2", "127.0.0.1:x:80",
		"[::1]", "localhost", "", "0x7f.1", "2130706433", "127.0.0.1,evil.example",
	} {
		want := 421
		if host == "127.0.0.1." {
			want = 200 // it is the same
		}
		cases = append(cases, named("the host "+host, want, "/good/m", host))
	}
	return append(cases,
		named("a host with a user", 400, "/good/m", "127.0.0.1@evil.example\\"),
		named("another host in the request's line", 421, "http://evil.example/good/m", "127.0.0.1"),
		named("its own in the request's line", 200, "http://127.0.0.1/good/m", "evil.example"), // it counts (RFC 9112, 3.2.2)
		named("status", 421, "/x/status", "evil.example"),
		named("a clone", 421, "/good/m/info/refs?service=git-upload-pack", "evil.example"),
		hostileCase{"a command", 421, func() (int, string) {
			good := fields("good/m", h.local)
			return h.talk(fmt.Sprintf("POST / HTTP/1.1\r\nHost: evil.example\r\nAuthorization: %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", bearer(token), len(good), good))
		}},
		hostileCase{"DELETE", 421, func() (int, string) {
			return h.talk("DELETE /good/m HTTP/1.1\r\nHost: evil.example\r\nAuthorization: " + bearer(token) + "\r\nConnection: close\r\n\r\n")
		}},
		hostileCase{"no host at all", 421, func() (int, string) {
			return h.talk("GET /good/m HTTP/1.0\r\nAuthorization: " + bearer(token) + "\r\n\r\n")
		}},
		named("another port", 200, "/good/m", "127.0.0.1:99"),
	)
}

// allowed are origins that look like those that the server may read: what is in good/m,
// and team's directory of that name, which leads elsewhere.
func (h *hostile) allowed(team, forbidden string) (cases []hostileCase) {
	command := []string{"Authorization", bearer(token)}
	host := strings.TrimPrefix(team, "http://")
	with := func(user string) string { return "http://" + user + "@" + host }
	for _, at := range []string{
		team + "/teamwork/x", team + "/Team/x", team + "//team/x", team + "/other/team/x",
		team + "/team/../other/x", team + "/team/%2e%2e/other/x", team + "/team/%2E./other/x", team + "/team/..%2fother/x",
		team + "/team/%252e%252e/other/x", team + "/team/..;/other/x", team + "/team/..%5cother/x", team + "/team/.%00./x",
		forbidden + "/team/x", "https://" + host + "/team/x", "http://127.0.0.1/team/x", "http://127.0.0.1.evil.example/team/x",
		"http://" + host + "@evil.example/team/x", "http://evil.example/" + team + "/team/x",
		"http://t0ken-us3r:s3cr3t-p4ss@evil.example/team/x", "ssh://" + host + "/team/x", "git@127.0.0.1:team/x", "git://" + host + "/team/x",
		h.local + "evil", filepath.Dir(h.local), h.local + "/../other.git", "file://" + h.local + "/../other.git", h.d.storage, "/",
	} {
		what := strings.NewReplacer("t0ken-us3r", "u", "s3cr3t-p4ss", "p").Replace(at)
		cases = append(cases, h.posting("not allowed: "+what, 403, fields("stranger", at), command...))
	}
	return append(cases,
		h.posting("a host in a fragment", 400, fields("stranger", "http://evil.example#"+host+"/team/x"), command...), // it is no origin at all
		h.posting("a redirect out of what is allowed", 500, fields("stranger", team+"/team/x"), command...),
		h.posting("the same with a password", 500, fields("stranger", with("t0ken-us3r:s3cr3t-p4ss")+"/team/x"), command...),
		h.posting("move to what is not allowed", 403, fields("good/m", forbidden+"/team/x")+"&move="+h.local, command...),
		h.posting("move by what is not allowed", 403, fields("good/m", forbidden+"/x")+"&move="+forbidden+"/y", command...),
		h.posting("for a peer", 403, fields("good/m", forbidden+"/x"), append([]string{"Sould-Peer", "x", "Sould-Via", "y"}, command...)...),
	)
}
