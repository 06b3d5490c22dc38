package cluster

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/refs"
)

// TestReplicasContainAllRefsOfAPull: refs that a replica lacks would be deleted here. The patterns
// that count are those that the pull began with, also if a reload has changed them since.
func TestReplicasContainAllRefsOfAPull(t *testing.T) {
	pattern := func(raw string) []refs.Pattern {
		p, err := refs.ParsePattern(raw)
		if err != nil {
			t.Fatal(err)
		}
		return []refs.Pattern{p}
	}
	status := protocol.Status{
		ID: "other", Role: "slave", Total: 1, Patterns: []string{"refs/heads/*"},
		Mirrors: []protocol.Mirror{{
			Name: "m", Origin: "https://h/x.git", State: protocol.Success, ModifyDate: time.Now().Unix(),
			Fingerprint: string(refs.FingerprintOf(git.Listing{}, refs.DefaultPatterns())),
		}},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(status)
	}))
	defer server.Close()
	address, err := protocol.ParseAddress(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		pull, reloaded string // patterns
		want           bool
	}{
		{"refs/*", "refs/*", false},
		{"refs/*", "refs/heads/*", false},
		{"refs/heads/*", "refs/heads/*", true},
		{"refs/heads/*", "refs/*", true},
	} {
		client := NewClient("self", "instance", slog.New(slog.DiscardHandler), &Options{
			Peers: []protocol.Address{address}, Refs: pattern(c.reloaded), Timeout: time.Minute, MaxConns: 4,
		})
		query := mirror.Query{
			Name: named("m"), Origin: mustParse(t, "https://h/x.git"), Refs: pattern(c.pull), OriginDown: true,
			Have: mirror.Have{None: true}, Damaged: func() bool { return false },
		}
		for src, err := range NewFallback(client).Sources(t.Context(), query) {
			if (err == nil) != c.want || err != nil && !strings.Contains(err.Error(), "other refs") {
				t.Errorf("%+v: %s, %v", c, src, err)
			}
		}
		client.Close()
	}
}
