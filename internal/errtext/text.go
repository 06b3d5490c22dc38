// Package errtext makes errors and foreign text fit to be shown: errors as trees of reasons, text
// without control characters, without credentials, and within a length.
package errtext

import (
	"errors"
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

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

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
	return oneLine(Sanitize(text, secrets))
}

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
