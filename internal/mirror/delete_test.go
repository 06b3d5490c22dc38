package mirror

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/origin"
)

// TestPullsThatADeleteOvertakes are no errors: somebody wanted that.
func TestPullsThatADeleteOvertakes(t *testing.T) {
	s, name := newTestStore(t), named("m")
	var logged bytes.Buffer
	s.log = slog.New(slog.NewTextHandler(&logged, nil))
	initMirror(t, s, name)
	asked := time.Now()
	if existed, err := s.Delete(t.Context(), name, asked); err != nil || !existed {
		t.Fatal(existed, err)
	}
	from, err := origin.Parse("https://git.in.local/x.git", false)
	if err != nil {
		t.Fatal(err)
	}
	for _, req := range []Request{
		{Name: name},
		{Name: name, Origin: from, Wanted: asked.Add(-time.Second)},
	} {
		logged.Reset()
		if _, err := s.Pull(context.Background(), req); err == nil {
			t.Errorf("%+v: pulled", req)
		}
		if text := logged.String(); !strings.Contains(text, "level=INFO msg=\"not pulled: a DELETE has removed the mirror") || strings.Contains(text, "ERROR") {
			t.Errorf("%+v: the log says %s", req, text)
		}
	}
	if existed, err := s.Delete(t.Context(), name, asked); err != nil || existed {
		t.Errorf("the second time: %v, %v", existed, err)
	}
}
