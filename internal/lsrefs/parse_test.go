package lsrefs

import (
	"bytes"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/pktline"
)

const (
	a, b, c = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "cccccccccccccccccccccccccccccccccccccccc"
	service = "001e# service=git-upload-pack\n0000"
)

// said is a message of these lines.
func said(lines ...string) string {
	var all []byte
	for _, line := range lines {
		all = pktline.Append(all, line)
	}
	return string(all) + pktline.Flush
}

func greet(text string) (greeting, error) {
	return readGreeting(pktline.NewReader(strings.NewReader(text)))
}

func TestReadAdvertisement(t *testing.T) {
	usual := []Ref{{"refs/heads/main", a, a}, {"refs/tags/v1", b, a}}
	for _, test := range []struct {
		lines []string
		want  List
		taken bool
	}{
		{nil, List{}, true},
		{[]string{strings.Repeat("0", 40) + " capabilities^{}\x00agent=x\n"}, List{}, true},
		{[]string{strings.Repeat("0", 64) + " capabilities^{}\x00object-format=sha256\n"}, List{}, true},
		{[]string{a + " HEAD\x00x symref=HEAD:refs/heads/main\n", a + " refs/heads/main\n", b + " refs/tags/v1\n", a + " refs/tags/v1^{}\n"},
			List{usual, "refs/heads/main", a}, true},
		{[]string{b + " refs/tags/v1\x00", a + " refs/tags/v1^{}", a + " refs/heads/main", a + " HEAD"}, List{usual, "", a}, true},
		{[]string{a + " refs/heads/main\x00symref=HEAD:refs/heads/none", "shallow " + a}, List{usual[:1], "", ""}, true},
		{[]string{a + " refs/heads/caf\xe9\x00"}, List{[]Ref{{"refs/heads/caf\xe9", a, a}}, "", ""}, true},

		{lines: []string{a + " refs/heads/main"}},
		{lines: []string{a + " refs/heads/main\x00object-format=sha256"}},
		{lines: []string{a + " refs/heads/main\x00object-format=sha512"}},
		{lines: []string{a + " refs/heads/main\x00object-format=sha1 object-format=sha1"}},
		{lines: []string{a + " HEAD\x00symref=HEAD:refs/heads/main"}},
		{lines: []string{a + " HEAD\x00symref=HEAD:refs/heads/main", b + " refs/heads/main"}},
		{lines: []string{a + " HEAD\x00symref=HEAD:refs/heads/main\tx", a + " refs/heads/main"}},
		{lines: []string{a + " HEAD\x00symref=HEAD:refs/heads/main symref=HEAD:refs/heads/x", a + " refs/heads/main"}},
		{lines: []string{a + " HEAD\x00symref=refs/x:refs/heads/main", a + " refs/heads/main"}},
		{lines: []string{a + " HEAD\x00", a + " HEAD^{}"}},
		{lines: []string{a + " HEAD\x00", a + " HEAD"}},
		{lines: []string{a + " refs/heads/main\x00", a + " refs/heads/main"}},
		{lines: []string{a + " refs/heads/main\x00", b + " refs/tags/v1^{}"}},
		{lines: []string{a + " refs/heads/main\x00", "shallow " + a, a + " refs/heads/x"}},
		{lines: []string{strings.Repeat("0", 40) + " refs/heads/main\x00"}},
		{lines: []string{strings.ToUpper(a) + " refs/heads/main\x00"}},
		{lines: []string{a + " refs/heads/a b\x00"}},
		{lines: []string{a + " refs/heads/a\nb\x00"}},
		{lines: []string{a + " .have\x00"}},
		{lines: []string{"ERR no such repository"}},
		{lines: []string{"version 1\n", a + " refs/heads/main\x00"}},
	} {
		g, err := greet(service + said(test.lines...))
		got := g.list
		if (err == nil) != test.taken || err == nil && (g.v2 || got.HeadRef != test.want.HeadRef || got.HeadID != test.want.HeadID || !slices.Equal(got.Refs, test.want.Refs)) {
			t.Errorf("%q: %+v, %v", test.lines, got, err)
		}
	}
	for _, text := range []string{"", "0000", "001e# service=git-upload-pack\n", said(a + " refs/heads/main\x00"), service + "0001", service + "0005", service} {
		if g, err := greet(text); err == nil {
			t.Errorf("%q is taken: %+v", text, g)
		}
	}
}

func TestReadCapabilities(t *testing.T) {
	for _, test := range []struct {
		text   string
		length int // 0 if it is not taken
	}{
		{said("version 2\n", "agent=x\n", "ls-refs=unborn\n", "object-format=sha256\n"), 64},
		{said("version 2", "ls-refs"), 40},
		{service + said("version 2\n", "ls-refs\n"), 40},
		{said("version 2", "fetch"), 0},
		{said("version 2", "ls-refs", "object-format=sha512"), 0},
		{said("version 2", "ls-refs", "object-format=sha1", "object-format=sha256"), 0},
		{said("version 3", "ls-refs"), 0},
		{strings.TrimSuffix(said("version 2", "ls-refs"), "0000"), 0},
		{strings.Replace(said("version 2", "ls-refs"), "0000", "0001", 1), 0},
	} {
		g, err := greet(test.text)
		if (err == nil) != (test.length > 0) || err == nil && (!g.v2 || g.idLength != test.length) {
			t.Errorf("%q: %+v, %v", test.text, g, err)
		}
	}
}

func TestReadRefs(t *testing.T) {
	for _, test := range []struct {
		lines []string
		want  List
		taken bool
	}{
		{nil, List{}, true},
		{[]string{a + " HEAD symref-target:refs/heads/main\n", b + " refs/tags/v1 peeled:" + a + "\n", a + " refs/heads/main\n", c + " refs/x symref-target:refs/y"},
			List{[]Ref{{"refs/heads/main", a, a}, {"refs/tags/v1", b, a}, {"refs/x", c, c}}, "refs/heads/main", a}, true},
		{[]string{a + " HEAD"}, List{nil, "", a}, true},
		{lines: []string{"unborn HEAD symref-target:refs/heads/main"}},
		{lines: []string{a + " HEAD peeled:" + b}},
		{lines: []string{a + " HEAD symref-target:refs/heads/x y"}},
		{lines: []string{a + " HEAD symref-target:refs/heads/x\ty"}},
		{lines: []string{a + " refs/heads/x new:attribute"}},
		{lines: []string{a + " refs/heads/x peeled:x"}},
		{lines: []string{a + " refs/heads/x", a + " refs/heads/x"}},
		{lines: []string{a}},
		{lines: []string{a + " "}},
		{lines: []string{a + "a refs/heads/x"}},
	} {
		got, err := readRefs(pktline.NewReader(strings.NewReader(said(test.lines...))), 40)
		if (err == nil) != test.taken || err == nil && (got.HeadRef != test.want.HeadRef || got.HeadID != test.want.HeadID || !slices.Equal(got.Refs, test.want.Refs)) {
			t.Errorf("%q: %+v, %v", test.lines, got, err)
		}
	}
}

// FuzzAnswers: whatever a server says, what is taken is a list, and takes memory in proportion.
func FuzzAnswers(f *testing.F) {
	for _, text := range []string{
		service + said(a+" HEAD\x00symref=HEAD:refs/heads/main\n", a+" refs/heads/main\n", b+" refs/tags/v1\n", a+" refs/tags/v1^{}\n", "shallow "+a),
		said("version 2\n", "agent=x\n", "ls-refs=unborn\n", "object-format=sha1\n"),
		said(a+" HEAD symref-target:refs/heads/main\n", b+" refs/tags/v1 peeled:"+a+"\n"),
		"", "0000", service + "0000", service, "0001", "fff0",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		g, _ := readGreeting(pktline.NewReader(bytes.NewReader(text)))
		l, _ := readRefs(pktline.NewReader(bytes.NewReader(text)), 40)
		runtime.ReadMemStats(&after)
		const buffers, others = 2 * pktline.MaxPacket, 1 << 20
		if took := after.TotalAlloc - before.TotalAlloc; took > uint64(buffers+others+32*len(text)) {
			t.Errorf("%d bytes took %d", len(text), took)
		}
		for _, l := range []List{g.list, l} {
			for i, ref := range l.Refs {
				if i > 0 && l.Refs[i-1].Name >= ref.Name || !isName(ref.Name) || !isID(ref.ID) || !isID(ref.Peeled) || len(ref.ID) != len(ref.Peeled) {
					t.Errorf("%q became %+v", text, l)
				}
			}
		}
	})
}
