package conditional

import (
	"net/http"
	"testing"
)

func TestWantsDigest(t *testing.T) {
	for value, want := range map[string]DigestPreference{
		"sha-256=1": Wanted, "sha-256=10": Wanted, "sha-512=3, sha-256=10, unixsum=0": Wanted, " sha-256=5 ": Wanted, "sha-256=3;x=y": Wanted,
		"sha-256=0, sha-256=3": Wanted, // the last one counts
		"sha-256=0":            Unwanted, "sha-512=3": Unwanted, "sha-512=10, md5=1": Unwanted, "x": Unwanted, "sha-512=3, sha-256=0": Unwanted,
		// Malformed, so that nothing was said.
		"": NoPreference, ",": NoPreference, "sha-256=": NoPreference, "sha-256=1,": NoPreference, "sha-256=11": NoPreference, "sha-256=-1": NoPreference, "sha-256=1.5": NoPreference,
		"sha-256": NoPreference, "sha-256=?0": NoPreference, "sha-256=\"1\"": NoPreference, "sha-256=(1)": NoPreference, "SHA-256=1": NoPreference, "sha-256 = 1": NoPreference,
		"sha-256=1 sha-512=1": NoPreference, "sha-256=99999999999999999999": NoPreference, "sha-256=:AAA=:": NoPreference,
	} {
		if got := WantsDigest(http.Header{"Want-Repr-Digest": {value}}); got != want {
			t.Errorf("%q: %d, want %d", value, got, want)
		}
	}
	if got := WantsDigest(http.Header{"Want-Repr-Digest": {"sha-512=1", "sha-256=2"}}); got != Wanted {
		t.Errorf("in a second line: %d", got)
	}
	if got := WantsDigest(http.Header{"Want-Digest": {"sha-256=2"}}); got != NoPreference {
		t.Errorf("without the field: %d", got)
	}
}

func FuzzWantsDigest(f *testing.F) {
	for _, s := range []string{"sha-256=1", "sha-256=0, x=1", "a=(1 2);b", ":", "sha-256=:AAA=:", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		one := WantsDigest(http.Header{"Want-Repr-Digest": {value}})
		if two := WantsDigest(http.Header{"Want-Repr-Digest": {value, "sha-256=0"}}); one != NoPreference && two != Unwanted {
			t.Errorf("%q: %d, and %d with a 0 after it", value, one, two)
		}
	})
}
