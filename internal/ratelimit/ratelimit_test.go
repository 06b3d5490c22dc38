package ratelimit

import (
	"net/http"
	"testing"
	"time"
)

func TestAsked(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	const most = time.Hour
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
		{429, nil, Unsaid},
		{429, []string{"Retry-After", "soon"}, Unsaid},
		{429, []string{"Retry-After", "-1"}, Unsaid},
		{429, []string{"Retry-After", "30"}, 30 * time.Second},
		{403, []string{"Retry-After", "30"}, 30 * time.Second},
		{503, []string{"Retry-After", " 30 "}, 30 * time.Second},
		{429, []string{"Retry-After", "0"}, time.Second},
		{429, []string{"Retry-After", "86400"}, most},
		{429, []string{"Retry-After", "9223372036854775807"}, most},
		{429, []string{"Retry-After", later}, 30 * time.Second},
		{429, []string{"Retry-After", date}, time.Second},
		{429, []string{"Retry-After", later, "Date", "Sat, 28 Nov 2026 12:00:20 GMT"}, 10 * time.Second},
		{403, []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1795867260"}, time.Minute},
		{403, []string{"X-RateLimit-Remaining", "7", "X-RateLimit-Reset", "1795867260"}, 0},
		{403, []string{"X-RateLimit-Remaining", "0"}, 0},
		{403, []string{"X-RateLimit-Reset", "1795867260"}, 0},
		{429, []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1"}, time.Second},
		{429, []string{"RateLimit-Remaining", "0", "RateLimit-Reset", "1795867260"}, time.Minute},
		{429, []string{"RateLimit-Remaining", "0", "RateLimit-Reset", "9223372036854775807"}, most},
		{403, []string{"Retry-After", "5", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1795867260"}, 5 * time.Second},
	} {
		h := make(http.Header)
		for i := 0; i < len(c.header); i += 2 {
			h.Set(c.header[i], c.header[i+1])
		}
		if got := Asked(c.status, h, now, most); got != c.want {
			t.Errorf("%d %v: %s, want %s", c.status, h, got, c.want)
		}
	}
}

func TestAfter(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": -1, "x": -1, "-5": -1, "30": 30 * time.Second, "0": 0,
		now.Add(time.Minute).Format(http.TimeFormat): time.Minute, now.Add(-time.Minute).Format(http.TimeFormat): -time.Minute,
	} {
		if got, ok := After(http.Header{"Retry-After": {value}}, now); ok != (want != -1) || ok && got != want {
			t.Errorf("%q: %s, %v", value, got, ok)
		}
	}
}

func TestExhausted(t *testing.T) {
	now := time.Unix(1795867200, 0)
	for _, c := range []struct {
		remaining, reset string
		want             time.Duration
	}{
		{"", "", 0}, {"1", "1795867260", 0}, {"0", "", Unsaid}, {"0", "soon", Unsaid}, {"0", "1795867260", time.Minute}, {" 0", "90", 90 * time.Second},
		{"0", "1795867100", time.Second}, {"0", "1895867260", time.Hour},
	} {
		for _, prefix := range []string{"X-RateLimit-", "RateLimit-"} {
			h := make(http.Header)
			h.Set(prefix+"Remaining", c.remaining)
			h.Set(prefix+"Reset", c.reset)
			if got := Exhausted(h, now, time.Hour); got != c.want {
				t.Errorf("%v: %s, want %s", h, got, c.want)
			}
		}
	}
}
