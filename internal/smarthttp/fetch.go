package smarthttp

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/pktline"
)

// Fetch is a client's request for objects, taken apart (gitprotocol-pack(5), "Packfile
// Negotiation"; gitprotocol-v2(5), "fetch"). Equal requests are equal however their lines are
// ordered, and whoever says which program sends them.
type Fetch struct {
	Wants []string // ids, sorted

	version      int
	capabilities []string   // sorted
	arguments    []string   // those that stand with the wants, sorted
	rest         [][]string // in version 0 and 1: what follows, up to each flush, sorted
}

// maxFetch is the largest request that is taken apart, in bytes: one that wants 80,000 objects.
const maxFetch = 4 << 20

// Fetch takes a request apart. ok is false for a request of another kind, for a very large one,
// and for one in which there is anything that is unknown here: git may know it.
func (b *Request) Fetch(version int) (f Fetch, ok bool) {
	if b.size > maxFetch {
		return f, false
	}
	f.version = version
	p := pktline.NewReader(b.Reader())
	if version == 2 {
		ok = f.readModern(p)
	} else {
		ok = f.readClassic(p)
	}
	f.Wants = sorted(f.Wants)
	f.capabilities, f.arguments = sorted(f.capabilities), sorted(f.arguments)
	return f, ok && len(f.Wants) > 0
}

// readModern reads a request of version 2.
func (f *Fetch) readModern(p *pktline.Reader) bool {
	line, _, err := p.Next()
	if err != nil || pktline.Text(line) != "command=fetch" {
		return false
	}
	arguments := false
	for {
		line, special, err := p.Next()
		switch word := pktline.Text(line); {
		case err != nil:
			return false
		case special == pktline.Flush:
			return f.ends(p)
		case special == pktline.Delim && !arguments:
			arguments = true
		case special != "":
			return false
		case arguments && !f.argument(word), !arguments && !f.capability(word):
			return false
		}
	}
}

// readClassic reads a request of version 0 or 1.
func (f *Fetch) readClassic(p *pktline.Reader) bool {
	first, _, err := p.Next()
	want, capabilities, _ := strings.Cut(strings.TrimPrefix(pktline.Text(first), "want "), " ")
	if err != nil || !strings.HasPrefix(string(first), "want ") || !f.argument("want "+want) {
		return false
	}
	for word := range strings.FieldsSeq(capabilities) {
		if !f.capability(word) {
			return false
		}
	}
	var part []string
	for flushes := 0; ; {
		line, special, err := p.Next()
		switch word := pktline.Text(line); {
		case err == io.EOF && flushes > 0:
			f.rest = append(f.rest, sorted(part))
			return true
		case err != nil, special != "" && special != pktline.Flush:
			return false
		case special == pktline.Flush:
			if flushes++; flushes > 1 {
				f.rest = append(f.rest, sorted(part))
				part = nil
			}
		case flushes > 0:
			part = append(part, word)
		case !f.argument(word):
			return false
		}
	}
}

// ends reports whether the request ends here.
func (f *Fetch) ends(p *pktline.Reader) bool {
	_, _, err := p.Next()
	return err == io.EOF
}

// capability takes in a word that says what the client can do, or what it is.
func (f *Fetch) capability(word string) bool {
	key, _, _ := strings.Cut(word, "=")
	switch key {
	case "agent", "session-id", "server-option": // the answer does not depend on it
		return true
	case "object-format", "multi_ack", "multi_ack_detailed", "no-done", "thin-pack", "side-band", "side-band-64k",
		"ofs-delta", "no-progress", "include-tag", "shallow", "deepen-since", "deepen-not", "deepen-relative", "filter":
		f.capabilities = append(f.capabilities, word)
		return true
	}
	return false
}

// argument takes in a line that says what the client wants and has.
func (f *Fetch) argument(line string) bool {
	word, value, _ := strings.Cut(line, " ")
	switch word {
	case "want":
		f.Wants = append(f.Wants, value)
		return git.IsID(value)
	case "deepen", "deepen-since", "filter": // the last one of several counts
		if slices.ContainsFunc(f.arguments, func(a string) bool { return strings.HasPrefix(a, word+" ") }) {
			return false
		}
	case "have", "shallow", "deepen-not":
	case "deepen-relative", "thin-pack", "no-progress", "include-tag", "ofs-delta", "done", "wait-for-done", "sideband-all":
		if value != "" {
			return false
		}
	default:
		return false
	}
	f.arguments = append(f.arguments, line)
	return true
}

// Digest tells a request from those that may have another answer.
func (f Fetch) Digest() string {
	h := sha256.New()
	fmt.Fprintf(h, "%d", f.version)
	for _, part := range append([][]string{f.capabilities, f.Wants, f.arguments}, f.rest...) {
		fmt.Fprintf(h, "\n%d", len(part))
		for _, line := range part {
			fmt.Fprintf(h, " %d:", len(line))
			io.WriteString(h, line)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// NeedsRefs reports whether the answer depends on the refs that there are, and not only on what
// the request says: which tags come with the objects, and what a ref is that is named.
func (f Fetch) NeedsRefs() bool {
	names := func(line string) bool { return line == "include-tag" || strings.HasPrefix(line, "deepen-not ") }
	return slices.ContainsFunc(f.capabilities, names) || slices.ContainsFunc(f.arguments, names)
}

// IsClone reports whether the client has nothing yet, and says all that it has to say.
func (f Fetch) IsClone() bool {
	for _, line := range f.arguments {
		if strings.HasPrefix(line, "have ") || strings.HasPrefix(line, "shallow ") {
			return false
		}
	}
	if f.version == 2 {
		return slices.Contains(f.arguments, "done")
	}
	return len(f.rest) == 1 && slices.Equal(f.rest[0], []string{"done"})
}

// IsWhole reports whether the client wants the whole history: it makes a clone that has neither a
// depth nor a filter.
func (f Fetch) IsWhole() bool {
	return f.IsClone() && !slices.ContainsFunc(f.arguments, func(line string) bool {
		return strings.HasPrefix(line, "deepen") || strings.HasPrefix(line, "filter ")
	})
}

// TakesAnyPack reports whether the answer to a request of version 2 may be any pack, in any order and of
// objects of this length, that has at least what the client wants and all that leads to.
func (f Fetch) TakesAnyPack(idLength int) bool {
	format := map[int]string{40: "object-format=sha1", 64: "object-format=sha256"}[idLength]
	named := slices.ContainsFunc(f.capabilities, func(word string) bool { return strings.HasPrefix(word, "object-format=") })
	return f.version == 2 && f.IsWhole() && f.has("ofs-delta") && !f.has("wait-for-done") &&
		(slices.Contains(f.capabilities, format) || !named && idLength == 40)
}

// TakesProgress reports whether the client of a request of version 2 wants to be told of the
// progress, and early whether that may begin before the answer does.
func (f Fetch) TakesProgress() (wanted, early bool) {
	return !f.has("no-progress"), f.has("sideband-all")
}

func (f Fetch) has(argument string) bool { return slices.Contains(f.arguments, argument) }

// Version is that of the protocol: 0, 1 or 2.
func (f Fetch) Version() int { return f.version }

// Wanting is the same request for other objects.
func (f Fetch) Wanting(ids []string) Fetch {
	f.Wants = sorted(slices.Clone(ids))
	return f
}

// Request is a request with that meaning.
func (f Fetch) Request() *Request {
	var b []byte
	if f.version == 2 {
		b = pktline.Append(b, "command=fetch\n")
		for _, word := range f.capabilities {
			b = pktline.Append(b, word, "\n")
		}
		b = append(b, pktline.Delim...)
	}
	for i, id := range f.Wants {
		line := "want " + id
		if i == 0 && f.version != 2 {
			line = strings.Join(append([]string{line}, f.capabilities...), " ")
		}
		b = pktline.Append(b, line, "\n")
	}
	for _, line := range f.arguments {
		b = pktline.Append(b, line, "\n")
	}
	b = append(b, pktline.Flush...)
	for i, part := range f.rest {
		for _, line := range part {
			b = pktline.Append(b, line, "\n")
		}
		if i < len(f.rest)-1 {
			b = append(b, pktline.Flush...)
		}
	}
	return NewRequest(b)
}

// sorted sorts lines and drops those that are there twice.
func sorted(lines []string) []string {
	slices.Sort(lines)
	return slices.Compact(lines)
}
