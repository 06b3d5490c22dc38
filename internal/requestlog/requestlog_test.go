package requestlog

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestShownQuery(t *testing.T) {
	for raw, want := range map[string]string{
		"":                                "",
		"ref=main&format=tar.gz":          "format=tar.gz&ref=main",
		"ref=a&ref=b":                     "ref=a&ref=b",
		"token=s3cret&ref=":               "ref=&token=***",
		"https://u:p@h/x":                 "https://***@h/x=***",
		"ref=https://u:p@h/x":             "ref=https://***@h/x",
		"%zz":                             "malformed",
		"ref=" + strings.Repeat("x", 200): "ref=" + strings.Repeat("x", 100) + "…",
	} {
		if got := shownQuery(raw); got != want {
			t.Errorf("%q is shown as %q, want %q", raw, got, want)
		}
	}
	if got := shownQuery(strings.Repeat("a=1&", 1000)); len(got) > 410 {
		t.Errorf("%d bytes are shown", len(got))
	}
}

// TestServe: an answer that is broken off is logged, and stays broken off.
func TestServe(t *testing.T) {
	var b strings.Builder
	log := slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))
	broken := func() (reason any) {
		defer func() { reason = recover() }()
		Serve(log, httptest.NewRecorder(), httptest.NewRequest("GET", "/a?x=1", nil), func(w http.ResponseWriter, r *http.Request) {
			first, err := TraceOf(r)
			if second, _ := TraceOf(r); err != nil || first.ID != second.ID {
				t.Error("a request has two ids")
			}
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write([]byte("abc"))
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			panic(http.ErrAbortHandler)
		})
		return nil
	}()
	if broken != http.ErrAbortHandler || !strings.Contains(b.String(), " status=206 bytes=3 ") || !strings.Contains(b.String(), " broken_off=true\n") {
		t.Errorf("%v; the log is %s", broken, b.String())
	}
}
