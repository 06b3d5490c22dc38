package storage

import (
	"strings"
	"testing"
)

func TestEscapeName(t *testing.T) {
	long := strings.Repeat("a/", 400)
	for raw, want := range map[string]string{
		"m":                                "m",
		"dev/m":                            "dev%2Fm",
		"a+b/c~d/@e":                       "a+b%2Fc~d%2F@e",
		"a/abcdef0123456789abcdef01234567": "a%2Fabcdef0123456789abcdef01234567", // nearly a digest
	} {
		name, err := ParseName(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := escapeName(name); got != want {
			t.Errorf("%q becomes %q", raw, got)
		}
		if back, ok := unescapeName(want); !ok || back != name {
			t.Errorf("%q becomes %q", want, back)
		}
	}
	a, err := ParseName(long + "x")
	if err != nil {
		t.Fatal(err)
	}
	b, err := ParseName(long + "y")
	if err != nil {
		t.Fatal(err)
	}
	if x, y := escapeName(a), escapeName(b); x == y || len(x) > maxComponent || len(x) < maxComponent-10 {
		t.Errorf("two long names become %q and %q", x, y)
	}
	if back, ok := unescapeName(escapeName(a)); !ok || len(back.String()) < 50 || !strings.HasPrefix(a.String(), back.String()) {
		t.Errorf("the beginning of a long name is %q", back)
	}
}

func TestDiscarded(t *testing.T) {
	for name, want := range map[string]int64{
		"100-m": 100, "100.2-a%2Fb-c": 100, "3141592653": 0, "x-m": 0, "100-": 0, "": 0, "-m": 0,
	} {
		at, ok := discardedAt(name)
		if ok != (want != 0) || ok && at.Unix() != want {
			t.Errorf("discarded(%q) = %v, %v", name, at, ok)
		}
	}
}
