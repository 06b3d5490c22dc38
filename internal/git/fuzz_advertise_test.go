package git

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/pktline"
)

// FuzzPackets reads arbitrary requests. What is accepted as pkt-lines is nothing else, and a
// parsed request for a list of refs means the same as its words.
func FuzzPackets(f *testing.F) {
	line := func(words ...string) string {
		var all []byte
		for _, w := range words {
			all = pktline.Append(all, w)
		}
		return string(all)
	}
	for _, s := range []string{
		"", "0000", "0001", "0002", "0003", "0004", "0005", "000", "FFFF", "fff0", "+004", "-004", " 004", "0x05", "zzzz", "0008NAK\n", "0009NAK", "\x00\x00\x00\x00",
		line("want "+fuzzID+"\n") + "0000" + line("done\n"),
		line("command=ls-refs\n", "agent=x", "object-format=sha1") + "0001" + line("peel\n", "symrefs", "unborn", "ref-prefix refs/heads/", "ref-prefix refs/heads/m") + "0000",
		line("command=ls-refs") + "0000", line("command=ls-refs") + "00010001" + "0000", line("command=ls-refs") + "00000000", line("command=ls-refs", "ref-prefix x") + "0000",
		line("command=ls-refs") + "0001" + line("ref-prefix ", "ref-prefix HEAD") + "0000", line("command=ls-refs", "object-format=sha256") + "00010000",
	} {
		f.Add([]byte(s))
	}
	l := Listing{Head: Head{Ref: "refs/heads/main"}}
	for _, name := range []string{"refs/heads/a", "refs/heads/a/b", "refs/heads/main", "refs/tags/v1", "refs/x"} {
		l.Refs = append(l.Refs, Ref{Name: name, ID: fuzzID, Peeled: fuzzID})
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		framed := pktline.Check(bytes.NewReader(text)) == nil
		ls, ok := ParseLsRefs(bytes.NewReader(text), 40)
		if !ok {
			return
		}
		if !framed {
			t.Errorf("%q asks for refs, and is not in pkt-lines", text)
		}
		checkLsRefs(t, text, ls, l)
	})
}

// checkLsRefs compares the selected refs with the words of the request.
func checkLsRefs(t *testing.T, request []byte, ls LsRefs, l Listing) {
	var prefixes []string
	for p := pktline.NewReader(bytes.NewReader(request)); ; {
		line, _, err := p.Next()
		if err != nil {
			break
		}
		if prefix, ok := strings.CutPrefix(pktline.Text(line), "ref-prefix "); ok {
			prefixes = append(prefixes, prefix)
		}
	}
	for _, name := range append([]string{"HEAD", "", "refs"}, prefixes...) {
		want := len(prefixes) == 0 || slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
		if ls.selects(name) != want {
			t.Errorf("%q selects %q: %v", request, name, !want)
		}
	}
	var out bytes.Buffer
	if err := ls.Write(&out, l); err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, ref := range l.Refs {
		if ls.selects(ref.Name) {
			shown++
		}
	}
	if ls.selects("HEAD") {
		shown++
	}
	if pktline.Check(&out) != nil || !strings.HasSuffix(out.String(), pktline.Flush) && out.Len() > 0 {
		t.Errorf("%q is answered with %q", request, out.String())
	}
	out.Reset()
	_ = ls.Write(&out, l)
	if n := strings.Count(out.String(), fuzzID+" "); n != shown {
		t.Errorf("%q shows %d refs of %d: %s", request, n, shown, fmt.Sprint(prefixes))
	}
}

// FuzzGreeting reads arbitrary capabilities, as an unknown version of git may have.
func FuzzGreeting(f *testing.F) {
	line := func(s string) string { return string(pktline.Append(nil, s)) }
	for version, s := range []string{
		line(fuzzID+" HEAD\x00multi_ack symref=HEAD:refs/heads/main agent=git/2\n") + "0000", line("version 1\n") + line(fuzzID+" refs/heads/x\x00 \n") + "0000",
		line("version 2\n") + line("ls-refs=unborn\n") + "0000",
	} {
		f.Add([]byte(s), version)
	}
	f.Add([]byte("0000"), 0)
	f.Add([]byte(line("\x00")), 0)
	l := Listing{Head: Head{Ref: "refs/heads/main"}, Refs: []Ref{{Name: "refs/heads/main", ID: fuzzID, Peeled: fuzzID}}}
	f.Fuzz(func(t *testing.T, said []byte, version int) {
		version = ((version % 3) + 3) % 3
		g, err := NewGreeting(said, version, 40)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := g.Write(&out, l); err != nil {
			t.Fatal(err)
		}
		if version < 2 && (pktline.Check(bytes.NewReader(out.Bytes())) != nil || strings.Count(out.String(), " symref=HEAD:") != 1) {
			t.Errorf("%q leads to %q", said, out.String())
		}
	})
}
