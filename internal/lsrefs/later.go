package lsrefs

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// unsaidWait is how long a server is left alone that says "too many requests", and not until when.
	// GitHub wants a minute at least.
	unsaidWait = time.Minute

	// maxAsked is the longest time for which a server can ask to be left alone.
	maxAsked = time.Hour
)

// retryAfter returns for how long a server asks to be left alone; 0 if it does not. now is the time
// here, which counts if the server does not tell its own.
//
// A server asks so by the status 429, or by 503 or 403 together with one of these headers:
// Retry-After (RFC 9110, 10.2.3), in seconds or as a date; and X-RateLimit-Remaining with the value 0
// and X-RateLimit-Reset, in Unix seconds (GitHub's documentation, "Rate limits for the REST API").
// GitLab has the latter two without the X-, and there are servers that count the seconds from now.
func retryAfter(status int, h http.Header, now time.Time) time.Duration {
	if status != http.StatusTooManyRequests && status != http.StatusForbidden && status != http.StatusServiceUnavailable {
		return 0
	}
	if theirs, err := http.ParseTime(h.Get("Date")); err == nil {
		now = theirs
	}
	for _, said := range []func() (time.Duration, bool){
		func() (time.Duration, bool) { return until(h.Get("Retry-After"), now) },
		func() (time.Duration, bool) { return limitReset(h, "X-RateLimit-", now) },
		func() (time.Duration, bool) { return limitReset(h, "RateLimit-", now) },
	} {
		if wait, ok := said(); ok {
			return min(max(wait, time.Second), maxAsked)
		}
	}
	if status == http.StatusTooManyRequests {
		return unsaidWait
	}
	return 0
}

// until reads the value of Retry-After.
func until(value string, now time.Time) (time.Duration, bool) {
	if at, err := http.ParseTime(value); err == nil {
		return at.Sub(now), true
	}
	return seconds(value)
}

// limitReset reads headers with this prefix. ok is false if they say that there is something left.
func limitReset(h http.Header, prefix string, now time.Time) (wait time.Duration, ok bool) {
	if strings.TrimSpace(h.Get(prefix+"Remaining")) != "0" {
		return 0, false
	}
	const longAgo = 1_000_000_000 // Unix seconds; nobody waits for so many
	reset, ok := seconds(h.Get(prefix + "Reset"))
	if reset >= longAgo*time.Second {
		reset = time.Unix(int64(reset/time.Second), 0).Sub(now)
	}
	return reset, ok
}

// seconds reads a whole number of seconds.
func seconds(value string) (time.Duration, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	if err != nil || n < 0 {
		return 0, false
	}
	const most = 1 << 33 // what a time.Duration can hold
	return time.Duration(min(n, most)) * time.Second, true
}
