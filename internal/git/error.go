package git

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"unicode"
)

// Error says how a git command failed. It never contains credentials.
type Error struct {
	Command  string         // the git command, such as "fetch"
	Args     []string       // its arguments, without secrets
	ExitCode int            // -1 if it was ended by a signal or did not start
	Signal   syscall.Signal // the signal that ended it, or 0
	Stderr   string         // the end of what it wrote to standard error
	Err      error          // why it was ended or did not start; nil if it ended by itself
}

// Error returns git's own words where there are any, else what became of it.
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

// Unwrap returns the reason for which the command was ended: the cause of its
// context.
func (e *Error) Unwrap() error { return e.Err }

// outOfMemory reports whether git was not given the memory that it wanted.
func outOfMemory(err error) bool {
	e := (*Error)(nil)
	return errors.As(err, &e) && e.Err == nil && noMemory.MatchString(e.Stderr)
}

// noMemory are git's own words, zlib's, and those of the system for a thread or a process.
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
// characters, and those that are for formatting (Unicode's category Cf).
func Unprintable(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}

// Printable is a text without such characters, but for line ends.
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

// maxProgress bounds a line of progress, in bytes.
const maxProgress = 200

// maxStderr bounds what is kept of a command's standard error: its end.
const maxStderr = 8 << 10

// stderrText takes a command's standard error apart: progress, which overwrites
// itself with carriage returns, messages about objects, and text, of which the last lines
// are kept.
type stderrText struct {
	progress func(string)
	trace    func(string) // nil if the command makes no trace
	heard    func(finding)
	secrets  []string // words that neither shows
	lines    bytes.Buffer
	line     []byte
}

// progressLine is what git counts while it works, also when it is done.
var progressLine = regexp.MustCompile(`^(remote: )?([A-Z][a-z]+ing [a-z ]+: +[0-9]|Total [0-9]+ )`)

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
		s.end()
		p = p[i+1:]
	}
	return n, nil
}

// traceLine is what git writes when GIT_TRACE_CURL is set, and the header that it has
// received, if the line is about one.
var traceLine = regexp.MustCompile(`^[0-9:.]+ http\.c:[0-9]+ +(?:<= Recv header: (.*))?`)

// end takes in the line that is complete.
func (s *stderrText) end() {
	if s.trace != nil {
		if found := traceLine.FindSubmatch(s.line); found != nil {
			s.line = s.line[:0]
			s.trace(string(found[1]))
			return
		}
	}
	line := Printable(strings.TrimSuffix(string(s.line), "\x1b[K"))
	line = strings.TrimRight(redact(line, s.secrets), " ")
	s.line = s.line[:0]
	if f, ok := parseFinding(line); ok && s.heard != nil {
		s.heard(f) // there can be a million of them
		return
	}
	switch {
	case line == "":
	case progressLine.MatchString(line):
		if s.progress != nil {
			s.progress(strings.ToValidUTF8(line[:min(len(line), maxProgress)], ""))
		}
	default:
		s.lines.WriteString(line + "\n")
		if over := s.lines.Len() - maxStderr; over > 0 {
			s.lines.Next(over)
		}
	}
}

// text is what the command had to say, without its progress.
func (s *stderrText) text() string {
	s.end()
	return strings.ToValidUTF8(strings.TrimSpace(s.lines.String()), "�")
}
