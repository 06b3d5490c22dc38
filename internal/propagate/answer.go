package propagate

import (
	"net/http"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/conditional"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/respond"
)

// Answer answers a POST when its work is done or its wait is over, and says how far the work is until then if
// the client wants to know. The error is that of json.Marshal; nothing is written then.
func (p *Propagation) Answer(w http.ResponseWriter, r *http.Request, asked protocol.Pull) error {
	var over <-chan time.Time
	if asked.Wait != protocol.NoWait {
		timer := time.NewTimer(asked.Wait)
		defer timer.Stop()
		over = timer.C
	}
	if asked.Progress && (conditional.Accepts(r.Header, protocol.StreamType) || !respond.WantsJSON(r)) { // one JSON document has no lines
		p.stream(w, r, over)
		return nil
	}
	select { // whether the client is still there or not
	case <-p.done:
	case <-over:
	}
	report := p.Report()
	return respond.Document(w, r, report.Status, report)
}

// lineWriter writes the lines of an answer, each at once.
type lineWriter struct {
	protocol.Form
	out *conn.DeadlineWriter
}

// beginLines begins an answer in the form that the client asks for. The HTTP status is 200 then,
// whatever comes of the work.
func beginLines(w http.ResponseWriter, r *http.Request) (*lineWriter, error) {
	form := protocol.TextForm
	if conditional.Accepts(r.Header, protocol.StreamType) {
		form = protocol.JSONForm
	}
	header := w.Header()
	header.Set("Content-Type", form.Type)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Accel-Buffering", "no") // nginx must not collect lines (proxy_buffering)
	s := &lineWriter{form, conn.NewDeadlineWriter(w)}
	return s, s.out.FlushError()
}

func (s *lineWriter) send(text string) error {
	if _, err := s.out.Write([]byte(text)); err != nil {
		return err
	}
	return s.out.FlushError()
}

// stream answers a request line by line: how far the work is, and at last the report. When
// the client goes away, or takes in nothing for a minute, the work goes on.
func (p *Propagation) stream(w http.ResponseWriter, r *http.Request, over <-chan time.Time) {
	s, err := beginLines(w, r)
	var feed protocol.Feed
	pause := time.NewTimer(protocol.Pause(0))
	defer pause.Stop()
	for err == nil {
		select {
		case <-p.done:
			_ = s.send(s.Report(p.Report())) // the client may be gone; that is no failure of ours
			return
		case <-over:
			_ = s.send(s.Report(p.Report()))
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
