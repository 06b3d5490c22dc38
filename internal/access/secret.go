package access

import (
	"crypto/sha256"
	"crypto/subtle"
)

// Secret is a word that no output may show, however it gets there.
type Secret string

// String is what is shown instead.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString and MarshalText are the same for %#v and for encoders.
func (s Secret) GoString() string { return s.String() }

func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Is compares in a time that says nothing about the secret, its length included. No
// word is the empty secret.
func (s Secret) Is(word string) bool {
	a, b := sha256.Sum256([]byte(s)), sha256.Sum256([]byte(word))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && s != ""
}
