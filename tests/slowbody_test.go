package tests

import (
	"fmt"
	"testing"
)

// TestSlowBodies: clients that announce a body and do not send it wait for an answer like
// those that do not send a header: whoever has something to ask gets in.
func TestSlowBodies(t *testing.T) {
	t.Parallel()
	r := bigOrigin(t, 1)
	head := func(path, kind string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: 100\r\n\r\n", path, kind)
	}
	for _, c := range []struct{ what, text string }{
		{"of requests that are refused", head("/m/git-receive-pack", "x/y")},
		{"of clones", head("/m/git-upload-pack", uploadPack) + "0"},
		{"of POSTs", head("/", formType) + "name"},
		{"of requests that need none", "GET /m?path=dir HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"},
	} {
		t.Run(c.what, func(t *testing.T) {
			d := prepare(t)
			d.ulimit = "-n 256"
			d.run()
			d.pulled("m", r.Dir)
			d.get("/m?path=dir").expect(t, 200)
			d.crowd(300, c.text)
			d.waitRead()
			d.healthy(c.what)
			d.answers(c.what)
			d.pulled("m", r.Dir)
		})
	}
}
