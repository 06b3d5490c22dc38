package access

import (
	"crypto/sha256"
	"crypto/subtle"
)

// Secret is a word that no output shows, however it is formatted or encoded.
type Secret string

// String returns what is shown instead of the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString is String for %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText is String for encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Is reports whether word is the secret. The time that this takes does not depend on the
// secret, not even on its length. An empty secret equals no word.
func (s Secret) Is(word string) bool {
	a, b := sha256.Sum256([]byte(s)), sha256.Sum256([]byte(word))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && s != ""
}
