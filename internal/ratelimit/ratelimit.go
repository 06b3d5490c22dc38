// Package ratelimit reads from an answer for how long an HTTP server asks to be left alone.
//
// A server asks so by Retry-After (RFC 9110, 10.2.3), in seconds or as a date, or by headers of a rate
// limit: X-RateLimit-Remaining and X-RateLimit-Reset as GitHub documents them ("Rate limits for the REST
// API"), without the X- at GitLab. A reset is a time in Unix seconds; there are servers that count the
// seconds from now.
package ratelimit

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Unsaid is how long a server is left alone that says "too many requests", and not until when. GitHub
// wants a minute at least.
const Unsaid = time.Minute

// least is how long a server is left alone at least that asks for it.
const least = time.Second

// Asked returns for how long a server asks to be left alone, most at most; 0 if it does not. It does so by
// the status 429, or by 403 or 503 with a header that says how long. now is the time here, which counts if
// the server does not tell its own.
func Asked(status int, h http.Header, now time.Time, most time.Duration) time.Duration {
	if status != http.StatusTooManyRequests && status != http.StatusForbidden && status != http.StatusServiceUnavailable {
		return 0
	}
	if theirs, err := http.ParseTime(h.Get("Date")); err == nil {
		now = theirs
	}
	wait, said := After(h, now)
	if !said {
		wait, said = reset(h, now)
	}
	switch {
	case said:
		return min(max(wait, least), most)
	case status == http.StatusTooManyRequests:
		return min(Unsaid, most)
	default:
		return 0
	}
}

// Reads reports whether the header of that name says something of it.
func Reads(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Date", "Retry-After", "X-Ratelimit-Remaining", "X-Ratelimit-Reset", "Ratelimit-Remaining", "Ratelimit-Reset":
		return true
	}
	return false
}

// After reads Retry-After. ok is false if it is not there, or is neither a number of seconds nor a date.
// The wait is negative for a date that is over.
func After(h http.Header, now time.Time) (wait time.Duration, ok bool) {
	value := h.Get("Retry-After")
	if at, err := http.ParseTime(value); err == nil {
		return at.Sub(now), true
	}
	return seconds(value)
}

// Exhausted returns, of an answer with any status, when there will be requests again, most at most; 0 if
// the server does not say that none are left.
func Exhausted(h http.Header, now time.Time, most time.Duration) time.Duration {
	wait, said := reset(h, now)
	switch {
	case said:
		return min(max(wait, least), most)
	case remaining(h) == "0":
		return min(Unsaid, most)
	default:
		return 0
	}
}

// remaining is how many requests are left, as the server says.
func remaining(h http.Header) string {
	return strings.TrimSpace(cmp.Or(h.Get("X-RateLimit-Remaining"), h.Get("RateLimit-Remaining")))
}

// reset reads when there will be requests again. ok is false if some are left, or if that is not said.
func reset(h http.Header, now time.Time) (wait time.Duration, ok bool) {
	if remaining(h) != "0" {
		return 0, false
	}
	const longAgo = 1_000_000_000 * time.Second // since 1970; nobody waits for so long
	wait, ok = seconds(cmp.Or(h.Get("X-RateLimit-Reset"), h.Get("RateLimit-Reset")))
	if wait >= longAgo {
		wait = time.Unix(int64(wait/time.Second), 0).Sub(now)
	}
	return wait, ok
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
