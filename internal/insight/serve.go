package insight

import (
	"cmp"
	"net/http"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/conditional"
	"github.com/reconquest/sould/internal/page"
	"github.com/reconquest/sould/internal/respond"
	"github.com/reconquest/sould/internal/units"
)

// ServePage answers with a page, or with 304 if the client has it. Who asks to wait gets the answer
// when something changes, or when closing is closed. The error is that of render, which returns a status and
// a body, or respond.ErrOtherVersion.
func (i *Insight) ServePage(w http.ResponseWriter, r *http.Request, closing <-chan struct{}, render func(page.Frame) (int, []byte, error)) error {
	version := i.Version()
	etag := `"` + version.String() + `"`
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Vary", "Accept")
	header.Set("Content-Security-Policy", page.Policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	if conditional.Precondition(r.Header, etag) != 0 {
		if wait, err := units.ParseDuration(r.URL.Query().Get("wait")); err == nil && wait > 0 {
			i.awaitNews(r.Context(), closing, version, wait)
			version = i.Version()
			etag = `"` + version.String() + `"`
		}
	}
	header.Set("Etag", etag)
	if status := conditional.Precondition(r.Header, etag); status != 0 {
		return respond.Condition(w, status)
	}
	_, host, _ := strings.Cut(access.BaseURL(r), "://")
	status, body, err := render(page.Frame{
		Now: time.Now(), Version: version.String(), Server: cmp.Or(host, "this server"),
	})
	if err != nil {
		return err
	}
	header.Set("Content-Type", "text/html; charset=utf-8")
	respond.Body(w, r, status, body)
	return nil
}

// ServeAsset answers with a file that pages are made with, whose path is one of [page.Assets]. The error is
// respond.ErrOtherVersion.
func ServeAsset(w http.ResponseWriter, r *http.Request) error {
	asset := page.Assets[strings.Trim(r.URL.Path, "/")]
	header := w.Header()
	header.Set("Etag", asset.ETag)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-cache")
	if asset.Current(r.URL.RawQuery) {
		header.Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	if status := conditional.Precondition(r.Header, asset.ETag); status != 0 {
		return respond.Condition(w, status)
	}
	header.Set("Content-Type", asset.Type)
	respond.Body(w, r, http.StatusOK, asset.Content)
	return nil
}
