package conditional

import (
	"iter"
	"net/http"
	"strconv"
	"strings"
)

// Accepts reports whether the client names a content type among those that it accepts, and not with
// the quality 0 (RFC 9110, section 12.4.2).
func Accepts(h http.Header, wanted string) bool {
	for kind, quality := range accepted(h) {
		if kind == wanted && quality > 0 {
			return true
		}
	}
	return false
}

// accepted are the content types that a client names, in lower case, with their qualities. What is no
// number is as good as 0.
func accepted(h http.Header) iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		for part := range strings.SplitSeq(strings.Join(h["Accept"], ","), ",") {
			kind, parameters, _ := strings.Cut(part, ";")
			quality := 1.0
			for parameter := range strings.SplitSeq(parameters, ";") {
				if name, value, _ := strings.Cut(strings.TrimSpace(parameter), "="); strings.EqualFold(name, "q") {
					quality, _ = strconv.ParseFloat(value, 64)
				}
			}
			if !yield(strings.ToLower(strings.TrimSpace(kind)), quality) {
				return
			}
		}
	}
}

// PrefersPage reports whether a client wants a page, as a browser does: it names text/html, and
// nothing that sould can send instead with a higher preference (RFC 9110, section 12.5.1).
func PrefersPage(h http.Header) bool {
	var page, other float64
	for kind, quality := range accepted(h) {
		switch kind {
		case "text/html":
			page = max(page, quality)
		case "text/plain", "application/json", "application/toml":
			other = max(other, quality)
		}
	}
	return page > 0 && page >= other
}
