// Package errtext makes errors and the words of others fit to be shown: errors as trees of
// reasons, foreign text without control characters, without credentials, and not too long.
package errtext

import (
	"errors"
	"slices"
	"strings"

	"github.com/reconquest/sould/internal/git"
)

// MaxWords is how much of somebody else's words is shown, in bytes.
const MaxWords = 4 << 10

// Clean makes foreign text fit to be shown: without control characters but line ends, and
// without the credentials of URLs.
func Clean(text string) string {
	return git.Redact(strings.TrimSpace(git.Printable(text)))
}

// Clip shortens a text to at most limit bytes, between characters.
func Clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && text[limit]&0xc0 == 0x80 {
		limit--
	}
	return text[:limit] + "…"
}

// Word makes one value from outside, such as the path of a request, fit to be repeated in a
// message or in the log: without the credentials of a URL, also one that stands where none is
// expected, and not longer than limit bytes. The former first: of a URL that is cut off nobody
// can tell where a password ends. Control characters are left to whoever quotes it.
func Word(word string, limit int) string { return Clip(git.RedactWord(word), limit) }

// Line makes a text fit for a field that is one line of MaxWords bytes at most.
func Line(text string) string {
	return Clip(Clean(oneLine(text)), MaxWords-len("…"))
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// Sanitize makes another server's words fit to be shown as one's own. The secrets are words
// that were sent to it, and may come back.
func Sanitize(text string, secrets []string) string {
	text = Clean(text) // first: a secret with a control character in it is one without it
	for _, secret := range secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return Clip(text, MaxWords-len("…"))
}

// SanitizeLine is Sanitize for a field that is one line.
func SanitizeLine(text string, secrets []string) string {
	if isPlain(text) && !slices.ContainsFunc(secrets, func(s string) bool { return strings.Contains(text, s) }) {
		return text // as most are: among ten thousand mirrors that is worth a look
	}
	return oneLine(Sanitize(text, secrets))
}

// isPlain reports whether a text has nothing in it that Sanitize could change but secrets.
func isPlain(text string) bool {
	return len(text) <= 256 && !strings.ContainsFunc(text, func(c rune) bool { return c < '!' || c > '~' || c == '@' })
}

// RedactError is an error that may repeat what another server has said, without the secrets
// that were sent to it.
func RedactError(err error, secrets []string) error {
	if text := err.Error(); Sanitize(text, secrets) != text {
		return errors.New(Sanitize(text, secrets))
	}
	return err
}
