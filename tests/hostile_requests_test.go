package tests

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// requests are words that lead elsewhere, or try to be options.
func (h *hostile) requests() []hostileCase {
	ranges := "bytes=" + strings.TrimSuffix(strings.Repeat("0-0,", 2000), ",")
	overlapping := "bytes=" + strings.TrimSuffix(strings.Repeat("0-,", 500), ",")
	return []hostileCase{
		h.getting("traversal by %2e", 400, "/%2e%2e/%2e%2e/etc/passwd"),
		h.getting("traversal by %2f", 400, "/good%2f..%2f..%2fin%2fsecret"),
		h.getting("an encoded slash is a slash", 200, "/good%2fm"),
		h.getting("a doubly encoded dot", 400, "/%252e%252e/secret"),
		h.getting("NUL", 400, "/good/m%00.tar"),
		h.getting("a backslash", 400, "/good%5c..%5cm"),
		h.getting("the server's own", 400, "/.sould/id"),
		h.getting("what lies in a mirror", 404, "/good/m/objects/pack"),
		h.getting("the state file", 404, "/good/m/sould.json"),
		h.getting("ref as an option", 400, "/good/m?ref=--output=%2ftmp%2fx"),
		h.getting("ref as an expression", 400, "/good/m?ref=main^{/x}"),
		h.getting("ref with a path", 400, "/good/m?ref=main:file"),
		h.getting("path out of the tree", 400, "/good/m?path=../../secret"),
		h.getting("path as a pattern", 404, "/good/m?path=*"),
		h.getting("path with magic", 404, "/good/m?path=:(top)file"),
		h.getting("prefix out of the archive", 400, "/good/m?prefix=../../x"),
		h.getting("an absolute prefix", 400, "/good/m?prefix=/etc"),
		h.getting("prefix with a line end", 400, "/good/m?prefix=a%0ab"),
		h.getting("a parameter twice", 400, "/good/m?ref=main&ref=-x"),
		h.getting("contains with no id", 400, "/good/m?contains=HEAD"),
		h.getting("2,000 ranges", 206, "/good/m", "Range", ranges),
		h.getting("500 ranges over each other", 200, "/good/m", "Range", overlapping),
		h.getting("a range that is none", 416, "/good/m", "Range", "bytes=9-1,x"),
		h.getting("an absurd If-None-Match", 200, "/good/m", "If-None-Match", strings.Repeat(`"x",`, 3000)),
		h.posting("a nested mirror", 409, fields("good/m/n", h.local)),
		h.posting("a mirror in a mirror's refs", 409, fields("good/m/refs", h.local)),
		h.posting("a mirror above one", 409, fields("good", h.local)),
		h.posting("a name out of the storage", 400, fields("../secret", h.local)),
		h.posting("an absolute name", 400, fields("/../../canary", h.local)),
		h.posting("the server's own as a name", 400, fields(".sould/cache", h.local)),
		h.posting("a URL as the name", 400, fields("https://t0ken-us3r:s3cr3t-p4ss@h/x", h.local)),
		h.posting("ext::", 400, fields("m", "ext::sh -c touch% "+h.outer+"/in/pwned")),
		h.posting("fd::", 400, fields("m", "fd::17/x")),
		h.posting("file:// of another host", 400, fields("m", "file://h/etc")),
		h.posting("an option as the origin", 400, fields("m", "--upload-pack=touch "+h.outer+"/in/pwned")),
		h.posting("an option as the host", 400, fields("m", "ssh://-oProxyCommand=touch$IFS"+h.outer+"/in/pwned/x")),
		h.posting("an option as the path", 400, fields("m", "git@h:--upload-pack=x")),
		h.posting("an option as move", 400, fields("good/m", h.local)+"&move=--exec=x"),
		h.posting("another origin", 409, fields("good/m", "http://127.0.0.1:9/x")),
		h.posting("fields twice", 400, fields("m", h.local)+"&name=n"),
		h.posting("fields in JSON", 415, `{"name":"m"}`, "Content-Type", "application/json"),
		h.posting("64 KiB and one byte", 413, fields("m", h.local)+"&x="+strings.Repeat("x", 64<<10)),
		h.posting("many fields", 400, strings.Repeat("a&", 20_000)),
		h.posting("another site (Sec-Fetch-Site)", 403, fields("m", h.local), "Sec-Fetch-Site", "cross-site"),
		h.posting("another site (Origin)", 403, fields("m", h.local), "Origin", "https://evil.example"),
		h.posting("the origin null", 403, fields("m", h.local), "Origin", "null"),
		h.posting("came through too many", 400, fields("m", h.local), "Sould-Via", strings.Repeat("x,", 100)),
		h.posting("terminal escapes", 400, fields("m\x1b[2J", h.local)),
	}
}

// raw are requests that no HTTP library would send.
func (h *hostile) raw() []hostileCase {
	good := fields("good/m", h.local)
	raw := func(what string, want int, text string) hostileCase {
		return hostileCase{what, want, func() (int, string) { return h.talk(text) }}
	}
	post := func(framing, body string) string {
		return "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: " + formType + "\r\nConnection: close\r\n" + framing + "\r\n\r\n" + body
	}
	return []hostileCase{
		raw("garbage", 400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
		raw("pipelined garbage", 200, "GET /good/m HTTP/1.1\r\nHost: x\r\n\r\n\x00\xff\x00\xffGET / HT"),
		raw("a pipelined second request", 200, "GET /good/m HTTP/1.1\r\nHost: x\r\n\r\nGET /good/m HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
		raw("no Host", 400, "GET /good/m HTTP/1.1\r\n\r\n"),
		raw("two Hosts", 400, "GET /good/m HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
		raw("a Host that is none", 400, "GET /good/m HTTP/1.1\r\nHost: a b/../\\\r\n\r\n"),
		raw("a header of 1 MB", 431, "GET /good/m HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 1<<20)+"\r\n\r\n"),
		raw("a URL of 1 MB", 431, "GET /"+strings.Repeat("x/", 1<<19)+" HTTP/1.1\r\nHost: x\r\n\r\n"),
		raw("10,000 headers", 431, "GET /good/m HTTP/1.1\r\nHost: x\r\n"+strings.Repeat("X: yyyyyyyyyyyy\r\n", 10_000)+"\r\n"),
		raw("a header folded", 400, "GET /good/m HTTP/1.1\r\nHost: x\r\n bad\r\n: x\r\n\r\n"),
		raw("a path without a slash", 400, "GET good/m HTTP/1.1\r\nHost: x\r\n\r\n"),
		raw("a proxy's request", 200, "GET http://evil.example/good/m HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
		raw("CONNECT", 405, "CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
		raw("OPTIONS *", 405, "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
		raw("HTTP/2 at once", 405, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		raw("HTTP/1.0", 200, "GET /good/m HTTP/1.0\r\n\r\n"),
		raw("HTTP/9", 505, "GET /good/m HTTP/9.9\r\nHost: x\r\n\r\n"),
		raw("two lengths", 400, post("Content-Length: 3\r\nContent-Length: 4", "name")),
		raw("a negative length", 400, post("Content-Length: -1", good)),
		raw("a length and chunks", 400, post("Content-Length: 5\r\nTransfer-Encoding: chunked", "zz\r\n"+good)),
		raw("chunks that are none", 400, post("Transfer-Encoding: chunked", "zz\r\nname\r\n0\r\n\r\n")),
		raw("a chunk of 2^64 bytes", 400, post("Transfer-Encoding: chunked", "ffffffffffffffff0\r\nname\r\n")),
		raw("an encoding nobody knows", 501, post("Transfer-Encoding: gzip", good)),
		raw("a body of 1 GB, announced", 413, post("Content-Length: 1000000000\r\nExpect: 100-continue", "")+strings.Repeat("x", 70<<10)),
		raw("an expectation nobody knows", 417, post("Expect: the-moon\r\nContent-Length: 0", "")),
		raw("a good one at last", 200, post("Content-Length: "+strconv.Itoa(len(good)), good)),
	}
}

// talk sends bytes and returns the status of the first answer that is one.
func (h *hostile) talk(text string) (int, string) {
	c, err := net.Dial("tcp", strings.TrimPrefix(h.d.url, "http://"))
	if err != nil {
		return -1, err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patient))
	go func() { // the daemon may answer before it has read all of it
		_, _ = io.WriteString(c, text)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	r := bufio.NewReader(c)
	for {
		response, err := http.ReadResponse(r, nil)
		if err != nil {
			return 0, err.Error()
		}
		body, _ := io.ReadAll(response.Body)
		if response.StatusCode == http.StatusContinue {
			continue
		}
		if len(body) > 1<<10 {
			body = body[:1<<10]
		}
		return response.StatusCode, string(body)
	}
}
