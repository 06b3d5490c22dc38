package git

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/pktline"
)

// FuzzListOverWeb: a server that says anything. What is made of it without git is what git makes of it.
func FuzzListOverWeb(f *testing.F) {
	line := func(words ...string) (all []byte) {
		for _, w := range words {
			all = pktline.Append(all, w)
		}
		return append(all, pktline.Flush...)
	}
	service := string(line("# service=git-upload-pack\n"))
	classic := append([]byte(service), line(fuzzID+" HEAD\x00symref=HEAD:refs/heads/main agent=x\n", fuzzID+" refs/heads/main\n",
		fuzzID+" refs/tags/v1\n", fuzzID+" refs/tags/v1^{}\n", "shallow "+fuzzID)...)
	modern := line("version 2\n", "ls-refs=unborn\n", "object-format=sha1\n")
	refs := line(fuzzID+" HEAD symref-target:refs/heads/main\n", fuzzID+" refs/tags/v1 peeled:"+fuzzID+"\n", fuzzID+" refs/heads/main symref-target:refs/x\n")
	f.Add(classic, modern, refs, uint16(0))
	f.Add([]byte(service+"0000"), modern, refs, uint16(0))
	f.Add([]byte("no"), modern, refs, uint16(204))
	f.Add([]byte(service+"0000"), classic, refs, uint16(0))
	f.Add([]byte("not you\n"), modern, refs, uint16(203))
	f.Add([]byte{}, []byte{}, []byte{}, uint16(101))
	var says struct {
		first, second, third []byte
		status               int
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		switch {
		case r.Method == http.MethodPost:
			w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
			_, _ = w.Write(says.third)
		case r.Header.Get("Git-Protocol") != "":
			_, _ = w.Write(says.second)
		default:
			if says.status >= http.StatusBadRequest {
				w.Header().Set("Content-Type", "text/plain")
			}
			w.WriteHeader(says.status)
			_, _ = w.Write(says.first)
		}
	}))
	f.Cleanup(server.Close)
	g, n := New(Options{}), 0
	f.Fuzz(func(t *testing.T, first, second, third []byte, status uint16) {
		says.first, says.second, says.third, says.status = first, second, third, 200+int(status)%400
		n++ // nothing is remembered of it
		r := Remote{URL: fmt.Sprint(server.URL, "/", n)}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		got, done, err := g.listOverWeb(ctx, r, nil)
		if !done {
			return
		}
		want, wantErr := g.list(ctx, r)
		if fmt.Sprint(err) != fmt.Sprint(wantErr) || got.Head != want.Head || !slices.Equal(got.Refs, want.Refs) {
			t.Errorf("%d %q, %q and %q are %+v, %v\nand to git %+v, %v", says.status, first, second, third, got, err, want, wantErr)
		}
	})
}
