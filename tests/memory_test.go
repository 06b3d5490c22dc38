package tests

import (
	"fmt"
	"strings"
	"testing"
)

// TestMemoryOfTheUnfinished: what very many clients have sent of requests that never end
// takes little memory.
func TestMemoryOfTheUnfinished(t *testing.T) {
	t.Parallel()
	if raceEnabled {
		t.Skip("the race detector takes memory of its own")
	}
	r := newOrigin(t)
	filler, header := strings.Repeat("x", 60<<10), strings.Repeat("x", 15<<10)
	body := func(path, kind string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: 65000\r\n\r\n%s", path, kind, filler)
	}
	for _, c := range []struct{ what, text string }{
		{"a header of one line", "GET /m HTTP/1.1\r\nHost: x\r\nX: " + header},
		{"a header of many lines", "GET /m HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: y\r\n", len(header)/6)},
		{"a POST", body("/", formType)},
		{"a clone", body("/m/git-upload-pack", uploadPack)},
	} {
		t.Run(c.what, func(t *testing.T) {
			d := start(t)
			d.pulled("m", r.Dir)
			n := d.crowd(shortOrLong(1000, 4000), c.text)
			d.waitRead()
			resident := d.kernel("VmRSS") >> 10
			t.Logf("%d connections, %d MB resident", n, resident)
			if most := 64 + n/7; resident > most {
				t.Errorf("%d MB are resident, %d at most", resident, most)
			}
			d.healthy(c.what)
			d.pulled("m", r.Dir)
		})
	}
}
