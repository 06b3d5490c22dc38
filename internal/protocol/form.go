package protocol

import (
	"encoding/json"
	"fmt"
)

// Form is the form of an answer that comes line by line.
type Form struct {
	Type   string                             // its content type
	Line   func(own string, line Line) string // own is what the line calls the server that answers
	Report func(*Report) string               // whose last line has the status
}

// Forms of such an answer: for people, and for programs.
var (
	TextForm = Form{
		Type:   "text/plain; charset=utf-8",
		Line:   func(own string, line Line) string { return line.Text(own) + "\n" },
		Report: func(rep *Report) string { return fmt.Sprintf("%sstatus: %d\n", rep, rep.Status) },
	}
	JSONForm = Form{
		Type:   StreamType,
		Line:   func(_ string, line Line) string { return jsonLine(line) },
		Report: func(rep *Report) string { return jsonLine(rep) },
	}
)

func jsonLine(v any) string {
	line, _ := json.Marshal(v) // it has nothing that JSON cannot say
	return string(line) + "\n"
}
