package forge

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// maxPause is the longest that a forge can ask to be left alone.
	maxPause = 24 * time.Hour

	// defaultPause is how long one is left alone that does not say how long it wants to be. It is what
	// GitHub recommends.
	defaultPause = time.Minute
)

// pause is how long a forge wants to be left alone after an answer; 0 for not at all. It is asked by
// Retry-After (RFC 9110, 10.2.3), by GitHub's X-RateLimit-Remaining and -Reset, or by RateLimit-Remaining
// and -Reset as GitLab sends them.
func pause(status int, h http.Header, now time.Time) time.Duration {
	refused := status == http.StatusTooManyRequests || status == http.StatusForbidden || status == http.StatusServiceUnavailable
	after, told := retryAfter(h.Get("Retry-After"), now)
	remaining := cmp.Or(h.Get("X-RateLimit-Remaining"), h.Get("RateLimit-Remaining"))
	switch {
	case refused && told:
	case strings.TrimSpace(remaining) == "0" && status/100 != 5:
		after = untilReset(cmp.Or(h.Get("X-RateLimit-Reset"), h.Get("RateLimit-Reset")), now)
	case status == http.StatusTooManyRequests:
		after = defaultPause
	default:
		return 0
	}
	return min(max(after, time.Second), maxPause)
}

// retryAfter reads the value of Retry-After.
func retryAfter(value string, now time.Time) (after time.Duration, ok bool) {
	if seconds, err := strconv.ParseUint(strings.TrimSpace(value), 10, 32); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	if at, err := http.ParseTime(value); err == nil {
		return at.Sub(now), true
	}
	return 0, false
}

// earliestReset parts moments from durations, in seconds: a reset is either.
const earliestReset = 1_000_000_000

// untilReset reads when there will be requests again: a Unix time, or seconds from now.
func untilReset(value string, now time.Time) time.Duration {
	seconds, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	switch {
	case err != nil:
		return defaultPause
	case seconds >= earliestReset:
		return time.Unix(seconds, 0).Sub(now)
	default:
		return time.Duration(seconds) * time.Second
	}
}
