// Package errtext makes errors and foreign text fit to be shown: errors as trees of reasons, text
// without control characters, without credentials, and within a length.
package errtext

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/reconquest/sould/internal/git"
)

// MaxWords is how many bytes of a foreign text are shown.
const MaxWords = 4 << 10

// Clean removes control characters, except line ends, and the credentials of URLs.
func Clean(text string) string {
	return git.Redact(strings.TrimSpace(git.Printable(text)))
}

// Clip shortens a text to limit bytes at most, between characters, and adds "…" if it does.
func Clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && text[limit]&0xc0 == 0x80 {
		limit--
	}
	return text[:limit] + "…"
}

// Word makes one foreign value, such as the path of a request, fit to be repeated in a message or in
// the log: without the credentials of a URL, even where no URL is expected, and then clipped to
// limit bytes. The order matters: in a URL that is cut off, the end of a password cannot be found.
// Control characters stay: the caller quotes the value.
func Word(word string, limit int) string { return Clip(git.RedactWord(word), limit) }

// Line makes a text one clean line of MaxWords bytes at most.
func Line(text string) string {
	return Clip(Clean(oneLine(text)), MaxWords-len("…"))
}

// oneLine joins the lines of a text. A semicolon stands between two lines, unless the second one
// goes on with the sentence of the first one, or the first one ends its sentence.
func oneLine(text string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.Join(strings.Fields(line), " ")
		if line == "" {
			continue
		}
		if before := b.String(); before != "" {
			if !strings.HasSuffix(before, "…") && !strings.ContainsAny(before[len(before)-1:], ".,:;!?") && !goesOn(line) {
				b.WriteByte(';')
			}
			b.WriteByte(' ')
		}
		b.WriteString(line)
	}
	return b.String()
}

// goesOn reports whether a line begins in the middle of a sentence.
func goesOn(line string) bool {
	return strings.HasPrefix(line, "and ") || strings.HasPrefix(line, "or ")
}

// Sanitize makes another server's text fit to be shown: clean, MaxWords bytes long at most, and
// without the secrets, which were sent to that server and which it may repeat.
func Sanitize(text string, secrets []string) string {
	text = Clean(text) // first, because a control character could hide a secret
	for _, secret := range secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return Clip(text, MaxWords-len("…"))
}

// SanitizeLine is Sanitize for a text that is to be one line.
func SanitizeLine(text string, secrets []string) string {
	if isPlain(text) && !slices.ContainsFunc(secrets, func(s string) bool { return strings.Contains(text, s) }) {
		return text // the usual case, which is worth a check where a status has ten thousand mirrors
	}
	return Clip(oneLine(Sanitize(text, secrets)), MaxWords-len("…"))
}

// SameReason reports whether two texts, each in one line or several, give the same reason: they may
// differ in how long something took.
func SameReason(a, b string) bool { return a == b || Reason(a) == Reason(b) }

// Reason is equal for texts that give the same reason.
func Reason(text string) string { return spans.ReplaceAllString(oneLine(text), "some time") }

// spans are how long something took, as curl and others say it.
var spans = regexp.MustCompile(`\b[0-9]+(\.[0-9]+)? ?(ms|s|milliseconds|seconds)\b`)

// isPlain reports whether Sanitize would leave a text without secrets as it is.
func isPlain(text string) bool {
	return len(text) <= 256 && !strings.ContainsFunc(text, func(c rune) bool { return c < '!' || c > '~' || c == '@' })
}

// RedactError sanitizes an error that may repeat another server's words. An error that shows nothing
// wrong stays as it is.
func RedactError(err error, secrets []string) error {
	if text := err.Error(); Sanitize(text, secrets) != text {
		return errors.New(Sanitize(text, secrets))
	}
	return err
}
