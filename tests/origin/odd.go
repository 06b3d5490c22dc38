package origin

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Odd is a server that is not like git's own. It answers requests, most of them with what
// git's own answers.
type Odd func(w http.ResponseWriter, r *http.Request, git http.Handler)

// Be makes the server an odd one, from now on.
func (h *HTTP) Be(odd Odd) { h.odd.Store(&odd) }

// Redirecting sends requests on to where the function says, and leaves alone those for which
// it says "".
func Redirecting(to func(*http.Request) string) Odd {
	return func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		location := to(r)
		if location == "" {
			git.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Location", location) // as it is, which http.Redirect does not leave it
		w.WriteHeader(http.StatusMovedPermanently)
	}
}

// MovedTo redirects all paths that begin with one word to those that begin with another.
func MovedTo(from, to string) Odd {
	return Redirecting(func(r *http.Request) string {
		rest, ok := strings.CutPrefix(r.URL.RequestURI(), from)
		if !ok {
			return ""
		}
		return to + rest
	})
}

// ModernOnly answers nobody who does not speak version 2 of git's protocol: with that status
// or, if it is 200, with an empty list of refs.
func ModernOnly(status int) Odd {
	return func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		switch {
		case r.Header.Get("Git-Protocol") == "version=2":
			git.ServeHTTP(w, r)
		case status == http.StatusOK:
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			_, _ = io.WriteString(w, pkt("# service=git-upload-pack\n")+"0000"+
				pkt(strings.Repeat("0", 40)+" capabilities^{}\x00agent=odd\n")+"0000")
		default:
			http.Error(w, "this server speaks version 2 of git's protocol only", status)
		}
	}
}

// Counting takes its time to count objects: until the channel is closed it sends no more
// than that it is alive. It works for clients that have nothing yet.
func Counting(began chan<- bool, end <-chan struct{}) Odd {
	return func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		if !strings.HasSuffix(r.URL.Path, "/git-upload-pack") {
			git.ServeHTTP(w, r)
			return
		}
		answer := recorded(r, git)
		head, pack, found := strings.Cut(answer.Body.String(), pkt("packfile\n"))
		show(w, answer, head)
		if found {
			_, _ = io.WriteString(w, pkt("packfile\n"))
			began <- true
			keepAlive(w, r, end)
		}
		_, _ = io.WriteString(w, pack)
	}
}

// Halting sends the first half of a pack, says so, and goes on when the channel is closed. It works for
// clients that have nothing yet.
func Halting(began chan<- bool, end <-chan struct{}) Odd {
	return func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		answer := recorded(r, git)
		body := answer.Body.String()
		head, pack, found := strings.Cut(body, pkt("packfile\n"))
		if !found {
			show(w, answer, body)
			return
		}
		show(w, answer, head+pkt("packfile\n")+pack[:len(pack)/2])
		_ = http.NewResponseController(w).Flush()
		began <- true
		select {
		case <-end:
			_, _ = io.WriteString(w, pack[len(pack)/2:])
		case <-r.Context().Done():
		}
	}
}

// keepAlive says, as git does every five seconds, that there will be more.
func keepAlive(w http.ResponseWriter, r *http.Request, end <-chan struct{}) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		_, _ = io.WriteString(w, pkt("\x01"))
		_ = http.NewResponseController(w).Flush()
		select {
		case <-tick.C:
		case <-end:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// notOurs is what git says of an object that it does not have.
var notOurs = regexp.MustCompile(`^[0-9a-f]{4}ERR upload-pack: not our ref ([0-9a-f]+)\n?`)

// Saying says in these words, with the id for %s, that it does not have an object.
func Saying(words string) Odd {
	return func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		answer := recorded(r, git)
		body := notOurs.ReplaceAllStringFunc(answer.Body.String(), func(said string) string {
			return pkt(fmt.Sprintf(words, notOurs.FindStringSubmatch(said)[1]))
		})
		show(w, answer, body)
	}
}

// recorded is what git's own server answers.
func recorded(r *http.Request, git http.Handler) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	git.ServeHTTP(answer, r)
	return answer
}

// show begins an answer with the headers of another one.
func show(w http.ResponseWriter, answer *httptest.ResponseRecorder, body string) {
	for key, values := range answer.Header() {
		if key != "Content-Length" {
			w.Header()[key] = values
		}
	}
	w.WriteHeader(answer.Code)
	_, _ = io.WriteString(w, body)
}

// ServeModernGit is ServeGit for clients that speak version 2 of git's protocol. It tells
// others to go away.
func ServeModernGit(t T, root string) string {
	t.Helper()
	behind := strings.TrimPrefix(ServeGit(t, root), "git://")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go passModern(client, behind)
		}
	}()
	return "git://" + l.Addr().String()
}

// passModern passes a client on that names version 2 in its first line (gitprotocol-pack(5)).
func passModern(client net.Conn, behind string) {
	defer client.Close()
	size := make([]byte, 4)
	if _, err := io.ReadFull(client, size); err != nil {
		return
	}
	n, err := strconv.ParseUint(string(size), 16, 16)
	if err != nil || n < 4 {
		return
	}
	line := make([]byte, n-4)
	if _, err := io.ReadFull(client, line); err != nil {
		return
	}
	if !bytes.Contains(line, []byte("\x00version=2\x00")) {
		_, _ = io.WriteString(client, pkt("ERR this server speaks version 2 of git's protocol only"))
		return
	}
	server, err := net.Dial("tcp", behind)
	if err != nil {
		return
	}
	defer server.Close()
	if _, err := server.Write(append(size, line...)); err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(client, server)
}

// pkt is a line of git's protocols.
func pkt(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }

// ServeDumb serves all repositories below a directory as files, to clients that know what to do
// with them (git-update-server-info(1)), and returns the URL of the directory.
func ServeDumb(t T, root string) string {
	t.Helper()
	server := httptest.NewServer(http.FileServer(http.Dir(root)))
	t.Cleanup(server.Close)
	return server.URL
}
