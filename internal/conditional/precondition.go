// Package conditional reads the headers of requests that limit what an answer contains, ask for more to
// be said of it, or choose its form: conditions (RFC 9110, section 13), ranges (section 14), the directive
// for a fresh answer (RFC 9111), the preference for a digest (RFC 9530), and accepted types (RFC 9110,
// section 12.5.1).
package conditional

import (
	"net/http"
	"strings"
)

// WantsFresh reports whether the client refuses a stored answer (Cache-Control: no-cache).
func WantsFresh(h http.Header) bool {
	for _, value := range h["Cache-Control"] {
		for directive := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(directive), "no-cache") {
				return true
			}
		}
	}
	return false
}

// Precondition evaluates If-Match and If-None-Match against the ETag of the content (RFC 9110,
// section 13.2.2). It returns the status to answer with instead of the content, or 0.
func Precondition(h http.Header, etag string) int {
	if tags := h["If-Match"]; len(tags) > 0 && !matches(tags, etag, false) {
		return http.StatusPreconditionFailed
	}
	if tags := h["If-None-Match"]; len(tags) > 0 && matches(tags, etag, true) {
		return http.StatusNotModified
	}
	return 0
}

// matches reports whether an ETag is in a list (RFC 9110, section 8.8.3.2). A weak comparison ignores
// the prefix W/; in a strong one no weak tag matches.
func matches(lists []string, etag string, weakly bool) bool {
	if !weakly && strings.HasPrefix(etag, "W/") {
		return false
	}
	for _, list := range lists {
		for tag := range strings.SplitSeq(list, ",") { // our own tags have no comma
			tag = strings.TrimSpace(tag)
			if tag == "*" || tag == etag || weakly && strings.TrimPrefix(tag, "W/") == strings.TrimPrefix(etag, "W/") {
				return true
			}
		}
	}
	return false
}
