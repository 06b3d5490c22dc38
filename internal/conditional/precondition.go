// Package conditional reads the words with which clients ask for less than all, or for newer than
// what is stored: conditions (RFC 9110, section 13), ranges (section 14), and directives for
// caches (RFC 9111).
package conditional

import (
	"net/http"
	"strings"
)

// WantsFresh reports whether the client asks that nothing stored be used.
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

// Precondition evaluates what a client knows already (RFC 9110, section 13): the
// status to answer with instead of the content, or 0.
func Precondition(h http.Header, etag string) int {
	if tags := h["If-Match"]; len(tags) > 0 && !matches(tags, etag, false) {
		return http.StatusPreconditionFailed
	}
	if tags := h["If-None-Match"]; len(tags) > 0 && matches(tags, etag, true) {
		return http.StatusNotModified
	}
	return 0
}

// matches reports whether an ETag is in a list. Weak comparison ignores what makes
// a tag weak, strong comparison refuses it.
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
