package main

import (
	"net/http"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/conditional"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/protocol"
)

// stream writes the lines of an answer, each at once.
type stream struct {
	protocol.Form
	out *conn.DeadlineWriter
}

// beginStream begins an answer in the form that the client asks for. The HTTP status is 200 then,
// whatever comes of the work.
func beginStream(w http.ResponseWriter, r *http.Request) (*stream, error) {
	form := protocol.TextForm
	if conditional.Accepts(r.Header, protocol.StreamType) {
		form = protocol.JSONForm
	}
	header := w.Header()
	header.Set("Content-Type", form.Type)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Accel-Buffering", "no") // nginx must not collect lines (proxy_buffering)
	s := &stream{form, conn.NewDeadlineWriter(w)}
	return s, s.out.FlushError()
}

func (s *stream) send(text string) error {
	if _, err := s.out.Write([]byte(text)); err != nil {
		return err
	}
	return s.out.FlushError()
}

// streamReport answers a request line by line: how far the work is, and at last the report. When
// the client goes away, or takes in nothing for a minute, the work goes on.
func streamReport(w http.ResponseWriter, r *http.Request, p *propagation, over <-chan time.Time) {
	s, err := beginStream(w, r)
	var feed protocol.Feed
	pause := time.NewTimer(protocol.Pause(0))
	defer pause.Stop()
	for err == nil {
		select {
		case <-p.done:
			_ = s.send(s.Report(p.report())) // the client may be gone; that is no failure of ours
			return
		case <-over:
			_ = s.send(s.Report(p.report()))
			return
		case <-r.Context().Done():
			return
		case <-pause.C:
		}
		worked := time.Since(p.began)
		var text strings.Builder
		for _, line := range feed.Next(worked, p.lines()) {
			text.WriteString(s.Line(p.label, line))
		}
		if text.Len() > 0 {
			err = s.send(text.String())
		}
		pause.Reset(protocol.Pause(worked))
	}
}
