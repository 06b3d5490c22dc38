package protocol

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"time"

	"github.com/reconquest/sould/internal/errtext"
)

// StreamType is the content type of an answer that comes line by line, each of them JSON: lines
// of progress (Line), and a Report as the last one. Its HTTP status is sent before the work is
// done, so that the one in the report counts.
const StreamType = "application/x-ndjson"

// Progress is how far a pull is. Percent, Done and Total are of what the words say, such as
// objects.
type Progress struct {
	Words   string `json:"progress" toml:"progress"`              // one line
	From    string `json:"from,omitempty" toml:"from,omitempty"`  // where it reads: "the origin" or "the peer x"
	Since   int64  `json:"since,omitempty" toml:"since,omitzero"` // when the step began, in Unix seconds
	Percent *int   `json:"percent,omitempty" toml:"percent"`      // nil if it is not known
	Done    int64  `json:"done,omitempty" toml:"done,omitzero"`
	Total   int64  `json:"total,omitempty" toml:"total,omitzero"` // 0 if it is not known
	Bytes   int64  `json:"bytes,omitempty" toml:"bytes,omitzero"` // received so far
	Rate    int64  `json:"rate,omitempty" toml:"rate,omitzero"`   // bytes per second
}

// Line tells how far a server is with a request.
type Line struct {
	Address string `json:"address,omitempty"` // below the server that answers; empty for itself. "a/b" is the slave b of the slave a
	State   State  `json:"state"`
	Progress
}

// Bounds of lines.
const (
	maxLine   = 200     // bytes of its words
	mostLines = 2000    // in one answer, but for those that only say that the server is still there
	maxStream = 4 << 20 // bytes that are read of a slave's lines
	leastLine = 100     // bytes that each of them counts for at least: to read one costs time, too
)

// label is what a line calls its server. own stands for the one that answers.
func (l Line) label(own string) string {
	if l.Address == "" {
		return own
	}
	return l.Address
}

// Text returns the line for people. own is what it calls the server that answers.
func (l Line) Text(own string) string { return l.label(own) + ": " + l.Words }

// below returns the line of a slave, as its master passes it on.
func (l Line) below(slave Address) Line {
	if l.Address != "" {
		l.Address = "/" + l.Address
	}
	l.Address = errtext.Clip(slave.String()+l.Address, maxLabel)
	return l
}

// lineOf returns the line for what is known of a server's outcome.
func lineOf(o Outcome) Line {
	line := Line{Address: o.Address, State: o.State}
	switch {
	case o.State == Processing && o.Progress != "":
		line.Words = o.Progress
	case o.State == Processing:
		line.Words = "asked"
	case o.State == Elsewhere:
		line.Words = elsewhereWords
	case o.State == Failed:
		line.Words = errtext.Clip("failed: "+o.Error, maxLine)
	default:
		line.Words = "done"
	}
	return line
}

// Lines are the latest lines of the servers below this one. The zero value is ready for use.
type Lines struct {
	all   []slaveLine
	index map[string]int // in all, by address
}

// slaveLine is what a slave has said of itself, or of a server below it.
type slaveLine struct {
	Line
	slave Address
}

// Set keeps a line that a slave has sent, instead of the one before of the same server. Beyond
// maxForeignServers, those of further servers are left out.
func (l *Lines) Set(slave Address, sent Line) {
	line := slaveLine{sent.below(slave), slave}
	i, known := l.index[line.Address]
	switch {
	case known:
		l.all[i] = line
	case len(l.all) < maxForeignServers:
		if l.index == nil {
			l.index = make(map[string]int)
		}
		l.index[line.Address] = len(l.all)
		l.all = append(l.all, line)
	}
}

// Of returns one line for each server: for the one that answers, whose progress own is, for its
// slaves, and for those below them as long as the slave itself is at work. What a slave has said
// of its progress counts until its outcome is known.
func (l *Lines) Of(o Outcome, own Progress) []Line {
	first := lineOf(o)
	if o.State == Processing {
		first.Progress = own
	}
	lines, done := []Line{first}, make(map[string]bool)
	for _, slave := range o.Slaves {
		if i, told := l.index[slave.Address]; told && slave.State == Processing {
			lines = append(lines, l.all[i].Line)
		} else {
			lines = append(lines, lineOf(slave))
		}
		done[slave.Address] = slave.State != Processing
	}
	for _, line := range l.all {
		if slave := line.slave.String(); line.Address != slave && !done[slave] {
			lines = append(lines, line.Line)
		}
	}
	return lines
}

// Feed decides which lines a client is told of its request, and when. The zero value is ready for
// use; it is not safe for concurrent use.
type Feed struct {
	told  map[string]string // the words that were told last, by address
	last  time.Duration     // when any were
	lines int
}

// Times of a Feed.
const (
	leastPause = time.Second
	mostPause  = 10 * time.Second // and so the longest silence
)

// Pause returns how long to wait for the next lines if the request has been at work for so long:
// a second at first, and more the longer it takes, since somebody has to read all of it.
func Pause(worked time.Duration) time.Duration {
	return min(max(worked/20, leastPause), mostPause)
}

// Next returns those of the lines that have changed since they were told. If none has for
// mostPause, it returns that of the first server that is at work, so that neither people nor proxies
// take it for dead.
func (f *Feed) Next(worked time.Duration, lines []Line) (news []Line) {
	if f.told == nil {
		f.told = make(map[string]string)
	}
	for _, line := range lines {
		if f.lines < mostLines && f.told[line.Address] != line.Words {
			f.told[line.Address] = line.Words
			f.lines++
			news = append(news, line)
		}
	}
	if len(news) == 0 && worked-f.last >= mostPause {
		if i := slices.IndexFunc(lines, func(line Line) bool { return line.State == Processing }); i >= 0 {
			news = lines[i : i+1]
		}
	}
	if len(news) > 0 {
		f.last = worked
	}
	return news
}

// IsStream reports whether an answer comes line by line.
func IsStream(answer *http.Response) bool {
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	return answer.StatusCode == http.StatusOK && kind == StreamType
}

// ReadStream reads another server's answer that comes line by line, calls tell for each line of
// progress, and returns the outcome as ReadAnswer does. tell may be nil.
func ReadStream(answer *http.Response, secrets []string, tell func(Line)) (Outcome, error) {
	if err := CheckEncoding(answer.Header, secrets); err != nil {
		return Outcome{}, err
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, MaxAnswer+2)
	read := 0
	for lines.Scan() {
		line, status := parseLine(lines.Bytes(), secrets)
		if status != 0 {
			return readLastLine(lines.Bytes(), status, secrets)
		}
		if read += max(len(lines.Bytes()), leastLine); read > maxStream {
			return Outcome{}, tooMuch("it tells of its progress in more than %d bytes", maxStream)
		}
		if tell != nil && line.Words != "" {
			tell(line)
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return Outcome{}, tooMuch("a line of its answer has more than %d bytes", MaxAnswer)
	case err != nil:
		return Outcome{}, err
	}
	return Outcome{}, fmt.Errorf("it broke off before it said how it ended: %w", io.ErrUnexpectedEOF)
}

// parseLine reads a line of progress and makes it fit to be shown. If it is a report, status is
// that of the report. A line that is neither has no words.
func parseLine(text []byte, secrets []string) (line Line, status int) {
	var both struct {
		Status int `json:"status"`
		Line
	}
	if err := json.Unmarshal(text, &both); err != nil {
		return Line{}, 0
	}
	return both.Line.sanitize(secrets), both.Status
}

// readLastLine is ReadAnswer for a report that has come as a line.
func readLastLine(text []byte, status int, secrets []string) (Outcome, error) {
	if status < 200 || status > 599 {
		return Outcome{}, fmt.Errorf("it says that it ended with the status %d, which is none", status)
	}
	return ReadAnswer(&http.Response{
		StatusCode: status, Status: fmt.Sprint(status, " ", http.StatusText(status)),
		Header: http.Header{"Content-Type": {"application/json"}},
	}, bytes.Clone(text), secrets)
}

// sanitize makes another server's line fit to be shown.
func (l Line) sanitize(secrets []string) Line {
	l.Address = errtext.Clip(errtext.SanitizeLine(l.Address, secrets), maxLabel)
	switch l.State {
	case Processing, Success, Failed:
	default:
		l.State = Processing
	}
	l.Progress = l.Progress.sanitize(secrets)
	return l
}

func (p Progress) sanitize(secrets []string) Progress {
	p.Words = errtext.Clip(errtext.SanitizeLine(p.Words, secrets), maxLine)
	p.From = errtext.Clip(errtext.SanitizeLine(p.From, secrets), maxLabel)
	if p.Percent != nil {
		p.Percent = new(min(max(*p.Percent, 0), 100))
	}
	if !isPlausible(time.Unix(p.Since, 0)) {
		p.Since = 0
	}
	p.Total, p.Bytes, p.Rate = max(p.Total, 0), max(p.Bytes, 0), max(p.Rate, 0)
	p.Done = max(p.Done, 0)
	return p
}
