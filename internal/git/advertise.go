package git

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"sort"
	"strings"

	"github.com/reconquest/sould/internal/pktline"
)

// All clients get the same list of refs, which can be written without the repository if its
// refs are known. Whatever else the server says at the beginning, its capabilities, depends
// only on the version of git.

// Greeting holds git's capabilities, as it advertised them for one repository.
type Greeting struct {
	version      int
	idLength     int
	capabilities string // in versions 0 and 1: the words after the first ref
	whole        []byte // in version 2: all of it
	early        []byte // the same with sideband-all
}

// sidebandAll lets a server tell of its progress before it has anything to answer
// (gitprotocol-v2(5), "fetch"). While a mirror is made there is much to tell, and otherwise nothing.
const sidebandAll = " sideband-all"

// NewGreeting reads what [Repo.Advertise] returned for a repository with at least one ref.
func NewGreeting(advertised []byte, version, idLength int) (Greeting, error) {
	g := Greeting{version: version, idLength: idLength, whole: advertised}
	if version == 2 {
		g.whole, g.early = without(advertised, sidebandAll), advertised
		return g, nil
	}
	for p := pktline.NewReader(bytes.NewReader(advertised)); ; {
		line, special, err := p.Next()
		if err != nil || special != "" {
			return g, errors.New("git upload-pack shows no ref")
		}
		if _, words, ok := strings.Cut(pktline.Text(line), "\x00"); ok {
			kept := slices.DeleteFunc(strings.Fields(words), func(w string) bool { return strings.HasPrefix(w, "symref=") })
			g.capabilities, g.whole = strings.Join(kept, " "), nil
			return g, nil
		}
	}
}

// without returns packets whose lines do not have these words.
func without(packets []byte, words string) (left []byte) {
	for p := pktline.NewReader(bytes.NewReader(packets)); ; {
		line, special, err := p.Next()
		switch {
		case err != nil:
			return left
		case special != "":
			left = append(left, special...)
		default:
			left = pktline.Append(left, strings.ReplaceAll(string(line), words, ""))
		}
	}
}

// Early greets a client, in version 2, of a repository that is being made.
func (g Greeting) Early() []byte { return g.early }

// Write greets a client of a repository with these refs. There must be at least one. In version 2
// the server can do more than git can; the others have no words for that.
func (g Greeting) Write(w io.Writer, l Listing, more ...string) error {
	if g.version == 2 {
		greeting := slices.Clone(bytes.TrimSuffix(g.whole, []byte(pktline.Flush)))
		for _, capability := range more {
			greeting = pktline.Append(greeting, capability, "\n")
		}
		_, err := w.Write(append(greeting, pktline.Flush...))
		return err
	}
	b := bufio.NewWriterSize(w, 64<<10)
	if g.version == 1 {
		b.Write(pktline.Append(b.AvailableBuffer(), "version 1\n"))
	}
	capabilities := "\x00" + g.capabilities
	show := func(id, name, peeled string) {
		b.Write(pktline.Append(b.AvailableBuffer(), id, " ", name, capabilities, "\n"))
		capabilities = ""
		if peeled != id && peeled != "" {
			b.Write(pktline.Append(b.AvailableBuffer(), peeled, " ", name, "^{}\n"))
		}
	}
	if id := l.headID(); id != "" {
		if l.Head.Ref != "" {
			capabilities += " symref=HEAD:" + l.Head.Ref
		}
		show(id, "HEAD", l.Head.ID)
	}
	for _, ref := range l.Refs {
		show(ref.ID, ref.Name, ref.Peeled)
	}
	b.WriteString(pktline.Flush)
	return b.Flush()
}

// headID is the object that HEAD leads to, or "". As with git, clients are not shown a HEAD
// whose branch cannot be a file: they could not clone such a repository.
func (l Listing) headID() string {
	switch {
	case l.Head.Ref == "":
		return l.Head.ID
	case !fitsFile(l.Head.Ref):
		return ""
	}
	ref, _ := l.Find(l.Head.Ref)
	return ref.ID
}

// IDLength is the length of the object ids in hex digits; 0 if there is none.
func (l Listing) IDLength() int {
	if len(l.Refs) > 0 {
		return len(l.Refs[0].ID)
	}
	return len(l.Head.ID)
}

// LsRefs is a client's request for a list of refs in version 2 (gitprotocol-v2(5), "ls-refs").
type LsRefs struct {
	peel, symrefs, unborn bool
	prefixes              []string // sorted; none is a prefix of another; nil for all refs
}

// maxPrefixes is how many prefixes are used. A client that sends more gets all refs, as from
// git.
const maxPrefixes = 65536

// ParseLsRefs reads such a request. ok is false for any other request, and for one with a word
// that is unknown here: git may know it.
func ParseLsRefs(request io.Reader, idLength int) (ls LsRefs, ok bool) {
	p := pktline.NewReader(request)
	line, _, err := p.Next()
	if err != nil || pktline.Text(line) != "command=ls-refs" {
		return ls, false
	}
	arguments, prefixes := false, []string(nil)
	for {
		line, special, err := p.Next()
		word := pktline.Text(line)
		switch {
		case err != nil:
			return ls, false
		case special == pktline.Flush:
			ls.prefixes = minimalPrefixes(prefixes)
			_, _, err := p.Next()
			return ls, err == io.EOF
		case special == pktline.Delim && !arguments:
			arguments = true
		case special != "":
			return ls, false
		case !arguments:
			if !knownCapability(word, idLength) {
				return ls, false
			}
		case word == "peel":
			ls.peel = true
		case word == "symrefs":
			ls.symrefs = true
		case word == "unborn":
			ls.unborn = true
		default:
			prefix, ok := strings.CutPrefix(word, "ref-prefix ")
			if !ok {
				return ls, false
			}
			if len(prefixes) <= maxPrefixes {
				prefixes = append(prefixes, prefix)
			}
		}
	}
}

// knownCapability reports whether a capability that a client sends does not change its list of
// refs.
func knownCapability(word string, idLength int) bool {
	key, value, _ := strings.Cut(word, "=")
	switch key {
	case "agent", "server-option":
		return true
	case "object-format":
		return value == map[int]string{40: "sha1", 64: "sha256"}[idLength]
	default:
		return false
	}
}

// minimalPrefixes sorts prefixes and drops those that begin with another one.
func minimalPrefixes(prefixes []string) []string {
	if len(prefixes) > maxPrefixes {
		return nil
	}
	slices.Sort(prefixes)
	kept := prefixes[:0]
	for _, prefix := range prefixes {
		if n := len(kept); n == 0 || !strings.HasPrefix(prefix, kept[n-1]) {
			kept = append(kept, prefix)
		}
	}
	return kept
}

// selects reports whether the client asks for the ref.
func (ls LsRefs) selects(name string) bool {
	if len(ls.prefixes) == 0 {
		return true
	}
	i := sort.SearchStrings(ls.prefixes, name)
	return i < len(ls.prefixes) && ls.prefixes[i] == name || i > 0 && strings.HasPrefix(name, ls.prefixes[i-1])
}

// Write answers the request with the refs of l.
func (ls LsRefs) Write(w io.Writer, l Listing) error {
	b := bufio.NewWriterSize(w, 64<<10)
	show := func(id, name, target, peeled string) {
		if target != "" && ls.symrefs {
			target = " symref-target:" + target
		} else {
			target = ""
		}
		if peeled != "" && peeled != id && ls.peel {
			peeled = " peeled:" + peeled
		} else {
			peeled = ""
		}
		b.Write(pktline.Append(b.AvailableBuffer(), id, " ", name, target, peeled, "\n"))
	}
	if ls.selects("HEAD") {
		if id := l.headID(); id != "" {
			show(id, "HEAD", l.Head.Ref, l.Head.ID)
		} else if ls.unborn && l.Head.Ref != "" && fitsFile(l.Head.Ref) {
			show("unborn", "HEAD", l.Head.Ref, "")
		}
	}
	for _, ref := range l.Refs {
		if ls.selects(ref.Name) {
			show(ref.ID, ref.Name, "", ref.Peeled)
		}
	}
	b.WriteString(pktline.Flush)
	return b.Flush()
}
