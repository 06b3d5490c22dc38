package storage

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// Name is the name of a mirror: one or more components joined by slashes, such as
// "dev/configs". Only ParseName makes one, so that it is safe to join a Name to a path.
type Name struct{ s string }

// The longest component and the longest name, in bytes.
const (
	maxComponent = 200
	maxName      = 1000
)

// ParseName parses a name by the contract's rules. Leading and trailing slashes are dropped.
func ParseName(raw string) (Name, error) {
	s := strings.Trim(raw, "/")
	switch {
	case s == "":
		return Name{}, errors.New("the name is empty")
	case len(s) > maxName:
		return Name{}, fmt.Errorf("the name has %d bytes; %d at most", len(s), maxName)
	}
	if strings.Contains(s, ":") { // the error does not repeat it: it may be a password
		return Name{}, errors.New("the name contains a colon; is it a URL?")
	}
	components := strings.Split(s, "/")
	for _, c := range components {
		if err := checkComponent(c); err != nil {
			return Name{}, fmt.Errorf("name %q: %w", s, err)
		}
	}
	if components[0] == "x" {
		return Name{}, fmt.Errorf("name %q: names that begin with x/ are reserved for the server itself", s)
	}
	for _, reserved := range []string{"info/refs", "git-upload-pack", "git-receive-pack"} {
		if s == reserved || strings.HasSuffix(s, "/"+reserved) {
			return Name{}, fmt.Errorf("name %q: %s at the end is what git clients ask for", s, reserved)
		}
	}
	return Name{s}, nil
}

func checkComponent(c string) error {
	switch {
	case c == "":
		return errors.New("there are two slashes in a row")
	case len(c) > maxComponent:
		return fmt.Errorf("the component %.20q… has %d bytes; %d at most", c, len(c), maxComponent)
	case c[0] == '.' || c[0] == '-':
		return fmt.Errorf("the component %q must not begin with %q", c, c[:1])
	case strings.HasSuffix(c, ".lock"):
		return fmt.Errorf("the component %q must not end with .lock", c)
	}
	for _, r := range c {
		if !nameRune(r) {
			return fmt.Errorf("%q is not allowed; ASCII letters, digits and . _ - + ~ @ are", r)
		}
	}
	return nil
}

func nameRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-+~@", r)
}

func (n Name) String() string { return n.s }

// Compare orders names as strings.
func (n Name) Compare(other Name) int { return strings.Compare(n.s, other.s) }

// Path returns the name as a relative path.
func (n Name) Path() string { return filepath.FromSlash(n.s) }

// Above returns the names that n lies inside, the outermost first.
func (n Name) Above() []Name {
	var above []Name
	for i, c := range n.s {
		if c == '/' {
			above = append(above, Name{n.s[:i]})
		}
	}
	return above
}

// Inside reports whether n lies below the name other.
func (n Name) Inside(other Name) bool { return strings.HasPrefix(n.s, other.s+"/") }

// Base returns the last component.
func (n Name) Base() string { return n.s[strings.LastIndexByte(n.s, '/')+1:] }
