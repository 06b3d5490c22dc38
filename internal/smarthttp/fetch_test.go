package smarthttp

import (
	"slices"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/pktline"
)

var idA, idB, idC = strings.Repeat("a", 40), strings.Repeat("b", 40), strings.Repeat("c", 40)

// body is a request of these lines, among which 0000 and 0001 are what they are.
func body(lines ...string) *Request {
	var b []byte
	for _, line := range lines {
		if line == pktline.Flush || line == pktline.Delim {
			b = append(b, line...)
		} else {
			b = pktline.Append(b, line, "\n")
		}
	}
	return &Request{small: b, size: int64(len(b))}
}

// modern is a clone in version 2, with more arguments.
func modern(more ...string) *Request {
	lines := []string{"command=fetch", "agent=git/2.39.5", "object-format=sha1", "0001", "thin-pack", "include-tag", "ofs-delta", "want " + idA, "want " + idB}
	return body(append(append(lines, more...), "done", "0000")...)
}

// classic is a clone in version 0, with more lines at its end.
func classic(more ...string) *Request {
	return body(append([]string{"want " + idA + " multi_ack_detailed side-band-64k agent=git/2.39.5", "want " + idB, "0000"}, more...)...)
}

// TestEqualRequests have one digest, and no others have it.
func TestEqualRequests(t *testing.T) {
	digests := make(map[string]string)
	for what, c := range map[string]struct {
		version int
		equal   []*Request
	}{
		"a clone": {2, []*Request{modern(),
			body("command=fetch", "object-format=sha1", "agent=other/1", "0001", "want "+idB, "want "+idA, "ofs-delta", "include-tag", "thin-pack", "done", "0000"),
			modern("want " + idB), body("command=fetch", "object-format=sha1", "session-id=7", "server-option=x", "0001", "done", "thin-pack", "include-tag", "ofs-delta", "want "+idA, "want "+idB, "0000"),
		}},
		"that is shallow":            {2, []*Request{modern("deepen 1")}},
		"less so":                    {2, []*Request{modern("deepen 2")}},
		"with a filter":              {2, []*Request{modern("filter blob:none")}},
		"with another one":           {2, []*Request{modern("filter tree:0")}},
		"without progress":           {2, []*Request{modern("no-progress")}},
		"of something more":          {2, []*Request{modern("want " + idC)}},
		"of who has something":       {2, []*Request{modern("have " + idC), modern("have "+idC, "have "+idC)}},
		"of who has two things":      {2, []*Request{modern("have "+idC, "have "+idB), modern("have "+idB, "have "+idC)}},
		"of who has a part of it":    {2, []*Request{modern("shallow " + idC)}},
		"of who has not said it all": {2, []*Request{body("command=fetch", "0001", "want "+idA, "have "+idB, "0000")}},
		"without an object format":   {2, []*Request{body("command=fetch", "0001", "want "+idA, "done", "0000")}},
		"an older clone": {0, []*Request{classic("done"),
			body("want "+idB+" agent=x side-band-64k multi_ack_detailed", "want "+idA, "want "+idB, "0000", "done"),
		}},
		"in version 1":              {1, []*Request{classic("done")}},
		"without side-band":         {0, []*Request{body("want "+idA+" multi_ack_detailed", "want "+idB, "0000", "done")}},
		"without any":               {0, []*Request{body("want "+idA, "want "+idB, "0000", "done")}},
		"an older shallow one":      {0, []*Request{body("want "+idA, "deepen 1", "0000", "done")}},
		"an older fetch":            {0, []*Request{classic("have "+idB, "have "+idC, "done"), classic("have "+idC, "have "+idB, "done")}},
		"in two steps":              {0, []*Request{classic("have "+idB, "0000", "have "+idC, "done")}},
		"in two steps, another way": {0, []*Request{classic("have "+idC, "0000", "have "+idB, "done")}},
		"with more to come":         {0, []*Request{classic("have "+idB, "0000")}},
	} {
		for i, r := range c.equal {
			f, ok := r.Fetch(c.version)
			if !ok {
				t.Fatalf("%s, %d: it is not taken apart", what, i)
			}
			if other, known := digests[f.Digest()]; known && (i == 0 || other != what) {
				t.Errorf("%s, %d: it has the digest of %s", what, i, other)
			} else if !known && i > 0 {
				t.Errorf("%s, %d: it has a digest of its own", what, i)
			}
			digests[f.Digest()] = what
			if again, ok := f.Request().Fetch(c.version); !ok || again.Digest() != f.Digest() {
				t.Errorf("%s, %d: written again it is another one", what, i)
			}
		}
	}
}

// TestRequestsThatStandAlone are those that may mean what is not known here.
func TestRequestsThatStandAlone(t *testing.T) {
	for what, c := range map[string]struct {
		version int
		request *Request
	}{
		"nothing":                    {2, body()},
		"a flush":                    {0, body("0000")},
		"nothing is wanted":          {2, body("command=fetch", "0001", "done", "0000")},
		"a list":                     {2, body("command=ls-refs", "0001", "peel", "0000")},
		"a ref":                      {2, modern("want-ref refs/heads/main")},
		"two depths":                 {2, modern("deepen 1", "deepen 2")},
		"two filters":                {2, modern("filter tree:0", "filter blob:none")},
		"an unknown word":            {2, modern("packfile-uris https")},
		"an unknown capability":      {2, body("command=fetch", "colour", "0001", "want "+idA, "done", "0000")},
		"no end":                     {2, body("command=fetch", "0001", "want "+idA)},
		"something behind the end":   {2, body("command=fetch", "0001", "want "+idA, "0000", "0000")},
		"two delimiters":             {2, body("command=fetch", "0001", "0001", "want "+idA, "0000")},
		"no want before":             {0, body("have "+idA, "0000", "done")},
		"an unknown capability of 0": {0, body("want "+idA+" colour", "0000", "done")},
		"an unknown line of 0":       {0, body("want "+idA, "colour", "0000", "done")},
		"a delimiter of 0":           {0, body("want "+idA, "0001", "0000", "done")},
		"no end of 0":                {0, body("want " + idA)},
		"no lines":                   {2, &Request{small: []byte("xxxx"), size: 4}},
		"far too much":               {2, &Request{size: maxFetch + 1}},
	} {
		if f, ok := c.request.Fetch(c.version); ok {
			t.Errorf("%s: %+v", what, f)
		}
	}
}

func TestWhatIsAskedFor(t *testing.T) {
	for what, c := range map[string]struct {
		version      int
		request      *Request
		clone, needs bool
	}{
		"a clone":             {2, modern(), true, true},
		"one without tags":    {2, body("command=fetch", "0001", "want "+idA, "deepen 1", "done", "0000"), true, false},
		"up to a ref":         {2, body("command=fetch", "0001", "want "+idA, "deepen-not main", "done", "0000"), true, true},
		"a fetch":             {2, modern("have " + idC), false, true},
		"a deeper one":        {2, modern("shallow " + idC), false, true},
		"a first question":    {2, body("command=fetch", "0001", "want "+idA, "0000"), false, false},
		"an older clone":      {0, classic("done"), true, false},
		"an older fetch":      {0, classic("have "+idC, "done"), false, false},
		"with tags":           {0, body("want "+idA+" include-tag", "0000", "done"), true, true},
		"an older deeper one": {0, body("want "+idA, "shallow "+idB, "0000", "done"), false, false},
	} {
		f, ok := c.request.Fetch(c.version)
		if !ok || f.IsClone() != c.clone || f.NeedsRefs() != c.needs {
			t.Errorf("%s: %v, a clone: %v, needs refs: %v", what, ok, f.IsClone(), f.NeedsRefs())
		}
	}
	f, _ := modern().Fetch(2)
	g := f.Wanting([]string{idC, idA, idC})
	if h, ok := g.Request().Fetch(2); !ok || !slices.Equal(h.Wants, []string{idA, idC}) || g.Digest() == f.Digest() || h.Digest() != g.Digest() {
		t.Errorf("other objects: %v, %v", h.Wants, ok)
	}
}

// FuzzFetch: what is taken apart and written again is the same, and nothing else is.
func FuzzFetch(f *testing.F) {
	for version, r := range []*Request{classic("have "+idC, "0000", "done"), classic("done"), modern("deepen 1", "filter tree:0")} {
		f.Add(r.small, version)
	}
	f.Fuzz(func(t *testing.T, request []byte, version int) {
		r := &Request{small: request, size: int64(len(request))}
		one, ok := r.Fetch(version)
		if !ok {
			return
		}
		if err := pktline.Check(r.Reader()); err != nil {
			t.Errorf("%q: %v", request, err)
		}
		again := one.Request()
		if two, ok := again.Fetch(version); !ok || two.Digest() != one.Digest() || two.IsClone() != one.IsClone() {
			t.Errorf("%q is written again as %q", request, again.small)
		}
	})
}

// TestTakesAnyPack: only a whole clone does, by a client that can read what git makes.
func TestTakesAnyPack(t *testing.T) {
	sha256 := body("command=fetch", "object-format=sha256", "0001", "ofs-delta", "want "+idA, "done", "0000")
	for what, c := range map[string]struct {
		version  int
		request  *Request
		idLength int
		want     bool
	}{
		"a clone":                    {2, modern(), 40, true},
		"one with early progress":    {2, modern("sideband-all"), 40, true},
		"without a word of format":   {2, body("command=fetch", "0001", "ofs-delta", "want "+idA, "done", "0000"), 40, true},
		"the same of SHA-256":        {2, body("command=fetch", "0001", "ofs-delta", "want "+idA, "done", "0000"), 64, false},
		"SHA-256":                    {2, sha256, 64, true},
		"another format":             {2, sha256, 40, false},
		"who cannot read ofs-delta":  {2, body("command=fetch", "0001", "want "+idA, "done", "0000"), 40, false},
		"a shallow one":              {2, modern("deepen 1"), 40, false},
		"one since a date":           {2, modern("deepen-since 5"), 40, false},
		"one with a filter":          {2, modern("filter blob:none"), 40, false},
		"who has something":          {2, modern("have " + idC), 40, false},
		"who has a part of it":       {2, modern("shallow " + idC), 40, false},
		"who has not said it all":    {2, body("command=fetch", "0001", "ofs-delta", "want "+idA, "0000"), 40, false},
		"who only negotiates":        {2, modern("wait-for-done"), 40, false},
		"an older clone":             {0, classic("done"), 40, false},
		"an older one, of ofs-delta": {1, body("want "+idA+" ofs-delta side-band-64k", "0000", "done"), 40, false},
	} {
		f, ok := c.request.Fetch(c.version)
		if !ok || f.TakesAnyPack(c.idLength) != c.want {
			t.Errorf("%s: %v, %v", what, ok, f.TakesAnyPack(c.idLength))
		}
	}
	for _, words := range [][]string{nil, {"no-progress"}, {"sideband-all"}, {"no-progress", "sideband-all"}} {
		f, _ := modern(words...).Fetch(2)
		wanted, early := f.TakesProgress()
		if wanted == slices.Contains(words, "no-progress") || early != slices.Contains(words, "sideband-all") {
			t.Errorf("%v: progress is wanted: %v, early: %v", words, wanted, early)
		}
	}
}
