package webhook

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of what is kept of a payload while it is read.
const (
	maxDepth  = 64   // of objects and arrays in each other
	maxKey    = 128  // bytes of a key; a longer one is none that is looked for
	maxWord   = 4096 // bytes of a string; a longer one is no URL, name or id, and left out
	maxScalar = 512  // bytes of a number
	maxValues = 16   // of one field, which may be in an array
)

// fields are the strings, numbers, true and false of a JSON text, by their paths: the keys that lead to
// them, with a dot between each two. Elements of an array have the path of the array.
type fields map[string][]string

// first returns the first value of the first of these fields that has one, or "".
func (f fields) first(paths ...string) string {
	for _, path := range paths {
		for _, value := range f[path] {
			if value != "" {
				return value
			}
		}
	}
	return ""
}

// all returns the values of these fields.
func (f fields) all(paths ...string) (values []string) {
	for _, path := range paths {
		values = append(values, f[path]...)
	}
	return values
}

// errJSON is why a payload cannot be read that arrived whole.
var errJSON = errors.New("the payload is not JSON")

// scanner reads a JSON text (RFC 8259) once, in memory that does not depend on its length, and keeps
// only the fields that are wanted. encoding/json would hold each string whole.
type scanner struct {
	r      *bufio.Reader
	wanted map[string]bool
	found  fields
	path   []byte
	word   []byte // the latest string or number
}

// scan reads a text to its end. The error is errJSON, or that of the reader.
func scan(r *bufio.Reader, wanted map[string]bool) (fields, error) {
	s := &scanner{r: r, wanted: wanted, found: make(fields)}
	c, err := s.next()
	if err == nil {
		err = s.value(c, 0)
	}
	if err == nil {
		_, err = s.next()
		switch err {
		case nil:
			err = fmt.Errorf("%w: there is more after its end", errJSON)
		case io.EOF:
			err = nil
		}
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = fmt.Errorf("%w: it ends too early", errJSON)
	}
	return s.found, err
}

// next returns the next byte that is no white space.
func (s *scanner) next() (byte, error) {
	for {
		c, err := s.r.ReadByte()
		if err != nil || c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c, err
		}
	}
}

func unexpected(c byte) error { return fmt.Errorf("%w: unexpected %q", errJSON, c) }

// value reads a value that begins with c.
func (s *scanner) value(c byte, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%w that is read: more than %d levels are in each other", errJSON, maxDepth)
	}
	switch c {
	case '{':
		return s.object(depth + 1)
	case '[':
		return s.array(depth + 1)
	case '"':
		whole, err := s.text(maxWord)
		if err == nil && whole {
			s.keep()
		}
		return err
	default:
		return s.scalar(c)
	}
}

// keep keeps the latest word as a value of the current path, if it is wanted.
func (s *scanner) keep() {
	if values := s.found[string(s.path)]; s.wanted[string(s.path)] && len(values) < maxValues {
		s.found[string(s.path)] = append(values, string(s.word))
	}
}

func (s *scanner) object(depth int) error {
	outer := len(s.path)
	for first := true; ; first = false {
		c, err := s.next()
		switch {
		case err != nil:
			return err
		case c == '}' && first:
			return nil
		case c != '"':
			return unexpected(c)
		}
		whole, err := s.text(maxKey)
		if err != nil {
			return err
		}
		if !whole || bytes.ContainsRune(s.word, '.') {
			s.word = append(s.word[:0], '.') // no path has that
		}
		if outer > 0 {
			s.path = append(s.path, '.')
		}
		s.path = append(s.path, s.word...)
		if err := s.member(depth); err != nil {
			return err
		}
		s.path = s.path[:outer]
		if c, err = s.next(); err != nil || c == '}' {
			return err
		}
		if c != ',' {
			return unexpected(c)
		}
	}
}

// member reads the value behind a key.
func (s *scanner) member(depth int) error {
	c, err := s.next()
	if err != nil {
		return err
	}
	if c != ':' {
		return unexpected(c)
	}
	if c, err = s.next(); err != nil {
		return err
	}
	return s.value(c, depth)
}

func (s *scanner) array(depth int) error {
	for first := true; ; first = false {
		c, err := s.next()
		if err != nil || c == ']' && first {
			return err
		}
		if err := s.value(c, depth); err != nil {
			return err
		}
		if c, err = s.next(); err != nil || c == ']' {
			return err
		}
		if c != ',' {
			return unexpected(c)
		}
	}
}

// scalar reads a number, true, false or null.
func (s *scanner) scalar(c byte) error {
	s.word = append(s.word[:0], c)
	for {
		c, err := s.r.ReadByte()
		if err != nil && err != io.EOF {
			return err
		}
		if err == io.EOF || !strings.ContainsRune("0123456789+-.eEaflnrstu", rune(c)) {
			if err == nil {
				err = s.r.UnreadByte()
			}
			if err == io.EOF {
				err = nil
			}
			if !json.Valid(s.word) {
				return fmt.Errorf("%w: unexpected %.20q", errJSON, s.word)
			}
			if string(s.word) != "null" {
				s.keep()
			}
			return err
		}
		if s.word = append(s.word, c); len(s.word) > maxScalar {
			return fmt.Errorf("%w that is read: a number has more than %d digits", errJSON, maxScalar)
		}
	}
}

// text reads a string behind its first quote into s.word. whole is false if it has more than most
// bytes: then only a part of it is there.
func (s *scanner) text(most int) (whole bool, err error) {
	s.word = s.word[:0]
	whole = true
	for {
		c, err := s.r.ReadByte()
		switch {
		case err != nil:
			return false, err
		case c == '"':
			return whole, nil
		case c < ' ':
			return false, unexpected(c)
		case c == '\\':
			if err := s.escape(); err != nil {
				return false, err
			}
		default:
			s.word = append(s.word, c)
		}
		if len(s.word) > most {
			whole, s.word = false, s.word[:most]
		}
	}
}

// escapes are what a letter behind a backslash stands for.
var escapes = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape reads what is behind a backslash.
func (s *scanner) escape() error {
	c, err := s.r.ReadByte()
	if err != nil {
		return err
	}
	if plain, ok := escapes[c]; ok {
		s.word = append(s.word, plain)
		return nil
	}
	if c != 'u' {
		return unexpected(c)
	}
	r, err := s.hex()
	if err != nil {
		return err
	}
	if utf16.IsSurrogate(r) {
		if next, err := s.r.Peek(2); err == nil && string(next) == `\u` {
			_, _ = s.r.Discard(2)
			low, err := s.hex()
			if err != nil {
				return err
			}
			r = utf16.DecodeRune(r, low)
		}
	}
	s.word = utf8.AppendRune(s.word, r) // a lone surrogate becomes U+FFFD
	return nil
}

// hex reads four digits.
func (s *scanner) hex() (r rune, err error) {
	for range 4 {
		c, err := s.r.ReadByte()
		if err != nil {
			return 0, err
		}
		digit := strings.IndexByte("0123456789abcdef", c|0x20)
		if digit < 0 || c < '0' {
			return 0, unexpected(c)
		}
		r = r<<4 | rune(digit)
	}
	return r, nil
}
