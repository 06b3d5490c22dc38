package notify

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/origin"
)

// Target is a URL that is told of changes. The zero value is none.
type Target struct {
	url   string // with user and password
	shown string // without them, and without the query, which may have a secret as well
	key   string // tells it from others; without user and password
}

// ParseTarget reads a URL from the configuration: http or https. The error repeats no more of it than the
// host.
func ParseTarget(raw string) (Target, error) {
	const form = "write http(s)://host[:port]/path"
	u, err := url.Parse(raw)
	if err != nil {
		return Target{}, errors.New("one of the URLs cannot be read: " + form)
	}
	place := errtext.Word(u.Scheme+"://"+u.Host, 200)
	u.Host = strings.ToLower(u.Host)
	switch {
	case u.Scheme != "http" && u.Scheme != "https" || u.Opaque != "":
		return Target{}, fmt.Errorf("%q is no URL of a web server: %s", place, form)
	case !origin.IsHost(u.Hostname()) || !origin.IsPort(cmp.Or(u.Port(), "80")):
		return Target{}, fmt.Errorf("%q names no host: %s", place, form)
	case u.Fragment != "":
		return Target{}, fmt.Errorf("the URL at %q has a fragment (#…), which no server is sent: leave it out", place)
	}
	bare := *u
	bare.User = nil
	sum := sha256.Sum256([]byte(bare.String()))
	bare.RawQuery, bare.ForceQuery = "", false
	return Target{url: u.String(), shown: bare.String(), key: hex.EncodeToString(sum[:8])}, nil
}

// String returns the URL without credentials and query.
func (t Target) String() string { return t.shown }

// Same reports whether two targets differ at most in user and password.
func (t Target) Same(other Target) bool { return t.key == other.key }

// CheckTargets checks all targets of a configuration together.
func CheckTargets(targets []Target) error {
	if len(targets) > MaxTargets {
		return fmt.Errorf("there are %d URLs; %d at most", len(targets), MaxTargets)
	}
	return nil
}
