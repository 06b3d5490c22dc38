package lsrefs

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	const date, later = "Sat, 28 Nov 2026 12:00:00 GMT", "Sat, 28 Nov 2026 12:00:30 GMT"
	for _, c := range []struct {
		status int
		header []string
		want   time.Duration
	}{
		{200, []string{"Retry-After", "30"}, 0},
		{404, []string{"Retry-After", "30"}, 0},
		{403, nil, 0},
		{503, nil, 0},
		{429, nil, unsaidWait},
		{429, []string{"Retry-After", "soon"}, unsaidWait},
		{429, []string{"Retry-After", "-1"}, unsaidWait},
		{429, []string{"Retry-After", "30"}, 30 * time.Second},
		{403, []string{"Retry-After", "30"}, 30 * time.Second},
		{503, []string{"Retry-After", " 30 "}, 30 * time.Second},
		{429, []string{"Retry-After", "0"}, time.Second},
		{429, []string{"Retry-After", "86400"}, maxAsked},
		{429, []string{"Retry-After", "9223372036854775807"}, maxAsked},
		{429, []string{"Retry-After", later}, 30 * time.Second},
		{429, []string{"Retry-After", date}, time.Second},
		{429, []string{"Retry-After", later, "Date", "Sat, 28 Nov 2026 12:00:20 GMT"}, 10 * time.Second},
		{403, []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1795867260"}, time.Minute},
		{403, []string{"X-RateLimit-Remaining", "7", "X-RateLimit-Reset", "1795867260"}, 0},
		{403, []string{"X-RateLimit-Remaining", "0"}, 0},
		{403, []string{"X-RateLimit-Reset", "1795867260"}, 0},
		{429, []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1"}, time.Second},
		{429, []string{"RateLimit-Remaining", "0", "RateLimit-Reset", "1795867260"}, time.Minute},
		{429, []string{"RateLimit-Remaining", "0", "RateLimit-Reset", "9223372036854775807"}, maxAsked},
		{403, []string{"Retry-After", "5", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1795867260"}, 5 * time.Second},
	} {
		h := make(http.Header)
		for i := 0; i < len(c.header); i += 2 {
			h.Set(c.header[i], c.header[i+1])
		}
		if got := retryAfter(c.status, h, now); got != c.want {
			t.Errorf("%d %v: %s, want %s", c.status, h, got, c.want)
		}
	}
}
