package conditional

import (
	"net/http"
	"strconv"
	"strings"
)

// Accepts reports whether the client names a content type among those that it accepts.
func Accepts(h http.Header, wanted string) bool {
	for accept := range strings.SplitSeq(h.Get("Accept"), ",") {
		kind, _, _ := strings.Cut(accept, ";")
		if strings.EqualFold(strings.TrimSpace(kind), wanted) {
			return true
		}
	}
	return false
}

// PrefersPage reports whether a client wants a page, as a browser does: it names text/html, and
// nothing that sould can send instead with a higher preference (RFC 9110, section 12.5.1).
func PrefersPage(h http.Header) bool {
	var page, other float64
	for part := range strings.SplitSeq(strings.Join(h["Accept"], ","), ",") {
		kind, parameters, _ := strings.Cut(part, ";")
		quality := 1.0
		for parameter := range strings.SplitSeq(parameters, ";") {
			if value, ok := strings.CutPrefix(strings.TrimSpace(parameter), "q="); ok {
				quality, _ = strconv.ParseFloat(value, 64) // what is no number is as good as 0
			}
		}
		switch strings.ToLower(strings.TrimSpace(kind)) {
		case "text/html":
			page = max(page, quality)
		case "text/plain", "application/json", "application/toml":
			other = max(other, quality)
		}
	}
	return page > 0 && page >= other
}
