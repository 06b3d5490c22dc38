package access

import (
	"errors"
	"fmt"
	"strings"
)

// Limits of a token, in characters.
const (
	ShortestToken = 16 // a shorter one can be guessed
	longestToken  = 1024
)

// ParseToken checks a token that somebody has chosen. The error never repeats it.
func ParseToken(s string) (Secret, error) {
	switch {
	case s == "***":
		return "", errors.New(`"***" is what --check shows instead of a token`)
	case len(s) < ShortestToken:
		return "", fmt.Errorf("too weak: it has %d characters; %d at least (openssl rand -hex 32 makes one)", len(s), ShortestToken)
	case len(s) > longestToken:
		return "", fmt.Errorf("it has %d characters; %d at most", len(s), longestToken)
	case strings.ContainsFunc(s, func(r rune) bool { return !tokenRune(r) }):
		return "", errors.New("it may have letters, digits and any of - . _ ~ + / = in it, and nothing else")
	}
	return Secret(s), nil
}

// tokenRune reports whether a token may contain a character (RFC 6750, section 2.1). None of
// these is ever escaped, so that a token looks the same wherever it has to be hidden.
func tokenRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._~+/=", r)
}

// ReadToken reads a token from a file of its own.
func ReadToken(path string) (Secret, error) { return readWord(path, ParseToken) }

// ReadSecret reads a secret that is a key of signatures from a file of its own. Another program may have
// made it, so that it may have any characters that can be typed.
func ReadSecret(path string) (Secret, error) { return readWord(path, parseSecret) }

// parseSecret checks a secret that somebody has chosen. The error never repeats it.
func parseSecret(s string) (Secret, error) {
	switch {
	case len(s) > longestToken:
		return "", fmt.Errorf("it has %d characters; %d at most", len(s), longestToken)
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }):
		return "", errors.New("it must be one line of printable ASCII characters")
	}
	return Secret(s), nil
}

// IsWeak reports whether a secret is so short that it may be guessed.
func (s Secret) IsWeak() bool { return len(s) < ShortestToken }

// readWord reads the one line of a file, and parses it.
func readWord(path string, parse func(string) (Secret, error)) (Secret, error) {
	if path == "" {
		return "", errors.New("must not be empty")
	}
	text, err := ReadFile(path)
	if err != nil {
		return "", err
	}
	word := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if word == "" {
		return "", errors.New(path + " is empty")
	}
	secret, err := parse(word)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return secret, nil
}
