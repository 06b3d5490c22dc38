package conditional

import (
	"net/http"

	"github.com/dunglas/httpsfv"
)

// DigestPreference is what a client says of the digest of what it asks for.
type DigestPreference int

const (
	NoPreference DigestPreference = iota // nothing
	Wanted                               // it wants to have one by SHA-256
	Unwanted                             // it has no use for one by SHA-256
)

// highest is the highest preference.
const highest = 10

// WantsDigest reads Want-Repr-Digest (RFC 9530, section 4): a dictionary of algorithms, each with
// a preference, of which 0 means that it is not acceptable. What is malformed is ignored, as for
// each structured field (RFC 9651, section 4.2).
func WantsDigest(h http.Header) DigestPreference {
	lines := h["Want-Repr-Digest"]
	if len(lines) == 0 {
		return NoPreference
	}
	preferences, err := httpsfv.UnmarshalDictionary(lines)
	if err != nil || len(preferences.Names()) == 0 {
		return NoPreference
	}
	member, named := preferences.Get("sha-256")
	if !named {
		return Unwanted
	}
	item, _ := member.(httpsfv.Item)
	preference, ok := item.Value.(int64)
	switch {
	case !ok, preference < 0, preference > highest:
		return NoPreference
	case preference == 0:
		return Unwanted
	default:
		return Wanted
	}
}
