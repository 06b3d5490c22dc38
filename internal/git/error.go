package git

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// Error says how a git command failed. It never contains credentials.
type Error struct {
	Command  string         // the git command, such as "fetch"
	Args     []string       // its arguments, without secrets
	ExitCode int            // -1 if a signal ended it or it did not start
	Signal   syscall.Signal // the signal that ended it, or 0
	Stderr   string         // the end of its standard error
	Err      error          // why it was ended or did not start; nil if it ended by itself

	// RetryAfter is for how long a web server asks to be left alone; 0 if that is not known. See the
	// function of this name.
	RetryAfter time.Duration
}

// Error returns git's own words if there are any, else how the command ended.
func (e *Error) Error() string {
	switch {
	case e.Err != nil:
		return fmt.Sprintf("git %s: %v", e.Command, e.Err)
	case e.Signal != 0:
		return strings.TrimSpace(fmt.Sprintf("git %s died: %v\n%s", e.Command, e.Signal, e.Stderr))
	case e.Stderr != "":
		return e.Stderr
	default:
		return fmt.Sprintf("git %s: exit status %d", e.Command, e.ExitCode)
	}
}

// Unwrap returns why the command was ended, such as the cause of its context.
func (e *Error) Unwrap() error { return e.Err }

// outOfMemory reports whether git could not allocate memory.
func outOfMemory(err error) bool {
	e := (*Error)(nil)
	return errors.As(err, &e) && e.Err == nil && noMemory.MatchString(e.Stderr)
}

// noMemory are the words of git, of zlib, and of the system for a thread or a process.
var noMemory = regexp.MustCompile(`(?i)out of memory|cannot allocate memory`)

func redact(text string, secrets []string) string {
	for _, s := range secrets {
		text = strings.ReplaceAll(text, s, "***")
	}
	return Redact(text)
}

func redactAll(words, secrets []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = redact(w, secrets)
	}
	return out
}

// Unprintable reports whether a character would change how others are shown: control
// characters, and formatting characters (Unicode's category Cf).
func Unprintable(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}

// Printable is a text without unprintable characters, except for line ends.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case Unprintable(r):
			return -1
		default:
			return r
		}
	}, strings.ToValidUTF8(text, "\ufffd"))
}

// maxStderr bounds the end of a command's standard error that is kept, in bytes.
const maxStderr = 8 << 10

// stderrText takes a command's standard error apart: lines of progress, which overwrite each
// other by carriage returns; messages about objects; and text, whose last lines are kept.
type stderrText struct {
	progress func(Progress)
	isFetch  bool         // lines about refs are left out
	trace    func(string) // nil if the command makes no trace
	found    func(finding)
	secrets  []string // words to hide
	lines    bytes.Buffer
	line     []byte // one that is not complete
}

func (s *stderrText) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexAny(p, "\r\n")
		if i < 0 {
			if s.line = append(s.line, p...); len(s.line) > maxStderr {
				s.line = s.line[len(s.line)-maxStderr:]
			}
			break
		}
		s.line = append(s.line, p[:i]...)
		s.endLine()
		p = p[i+1:]
	}
	return n, nil
}

// traceLine is a line that git writes when GIT_TRACE_CURL is set. The group is the header that
// was received, if the line is about one.
var traceLine = regexp.MustCompile(`^[0-9:.]+ http\.c:[0-9]+ +(?:<= Recv header: (.*))?`)

// endLine sorts the line that is complete.
func (s *stderrText) endLine() {
	if s.isFetch && refLine.Match(s.line) {
		s.line = s.line[:0]
		return
	}
	if s.trace != nil {
		if m := traceLine.FindSubmatch(s.line); m != nil {
			s.line = s.line[:0]
			s.trace(string(m[1]))
			return
		}
	}
	line := Printable(strings.TrimSuffix(string(s.line), "\x1b[K"))
	line = strings.TrimRight(redact(line, s.secrets), " ")
	s.line = s.line[:0]
	if f, ok := parseFinding(line); ok && s.found != nil {
		s.found(f) // not kept: there can be a million of them
		return
	}
	progress, isProgress := parseProgress(line)
	switch {
	case line == "", totalLine.MatchString(line):
	case strings.HasPrefix(line, "Cloning into "): // a temporary directory
	case isProgress:
		if s.progress != nil {
			s.progress(progress)
		}
	default:
		s.lines.WriteString(line + "\n")
		if over := s.lines.Len() - maxStderr; over > 0 {
			s.lines.Next(over)
		}
	}
}

// text is what the command wrote, without progress and messages about objects.
func (s *stderrText) text() string {
	s.endLine()
	return strings.ToValidUTF8(strings.TrimSpace(s.lines.String()), "�")
}
