package lsrefs

import (
	"errors"
	"slices"
	"strings"
	"unicode"

	"github.com/reconquest/sould/internal/pktline"
)

// Git parses the same (connect.c, remote-curl.c), but accepts more. Here everything is an error
// that git could understand differently.

// greeting is the answer to the first question.
type greeting struct {
	list List // in version 0

	v2       bool   // the answer is in version 2; the rest are its capabilities
	idLength int    // hex digits of an object id
	format   string // the value of object-format; empty for none
	agent    bool   // the client may send its name
}

// errUnclear is the error for everything that git could understand differently.
var errUnclear = &unusual{why: "git may read the answer differently"}

// errMoved is the error for a list that is inconsistent by chance: the next one may be right.
var errMoved = errors.New("the branch of HEAD has moved while the list was made")

// readGreeting reads the answer to the first question, up to its last flush packet.
func readGreeting(p *pktline.Reader) (greeting, error) {
	line, err := nextLine(p)
	if err == nil && line == "# service=git-upload-pack" {
		if _, special, err := p.Next(); err != nil || special != pktline.Flush {
			return greeting{}, errUnclear
		}
		packet, special, err := p.Next()
		switch line = pktline.Text(packet); {
		case err != nil, special != "" && special != pktline.Flush:
			return greeting{}, errUnclear
		case special == pktline.Flush: // there are no refs
			return greeting{}, nil
		case line != "version 2":
			l, err := readAdvertisement(p, line)
			return greeting{list: l}, err
		}
	}
	if err != nil || line != "version 2" {
		return greeting{}, errUnclear
	}
	return readCapabilities(p)
}

// nextLine returns the next line. A special packet is an error.
func nextLine(p *pktline.Reader) (string, error) {
	line, special, err := p.Next()
	if err != nil || special != "" {
		return "", errUnclear
	}
	return pktline.Text(line), nil
}

// readCapabilities reads what a server can do in version 2.
func readCapabilities(p *pktline.Reader) (greeting, error) {
	g := greeting{v2: true, idLength: 40}
	lists := false
	for {
		line, special, err := p.Next()
		if err != nil || special != "" && special != pktline.Flush {
			return g, errUnclear
		}
		if special == pktline.Flush {
			if !lists {
				return g, errUnclear
			}
			return g, nil
		}
		switch key, value, _ := strings.Cut(pktline.Text(line), "="); key {
		case "ls-refs":
			lists = true
		case "agent":
			g.agent = true
		case "object-format":
			if g.idLength = idLengthOf(value); g.idLength == 0 || g.format != "" {
				return g, errUnclear
			}
			g.format = value
		}
	}
}

// idLengthOf returns how many hex digits an object id has in a format; 0 for an unknown one.
func idLengthOf(format string) int { return map[string]int{"sha1": 40, "sha256": 64}[format] }

// lsRefs is the request for refs in version 2.
func (g greeting) lsRefs(prefixes []string) []byte {
	b := pktline.Append(nil, "command=ls-refs\n")
	if g.agent {
		b = pktline.Append(b, "agent="+strings.ReplaceAll(userAgent, " ", "-"))
	}
	if g.format != "" {
		b = pktline.Append(b, "object-format="+g.format)
	}
	b = append(b, pktline.Delim...)
	b = pktline.Append(b, "peel\n")
	b = pktline.Append(b, "symrefs\n")
	if 0 < len(prefixes) && len(prefixes) <= maxPrefixes {
		b = pktline.Append(b, "ref-prefix HEAD\n")
		for _, prefix := range prefixes {
			b = pktline.Append(b, "ref-prefix ", prefix, "\n")
		}
	}
	return append(b, pktline.Flush...)
}

// readAdvertisement reads a list in version 0, after its first line.
func readAdvertisement(p *pktline.Reader, first string) (List, error) {
	line, words, ok := strings.Cut(first, "\x00")
	if !ok {
		return List{}, errUnclear
	}
	idLength, head, err := readWords(words)
	if err != nil {
		return List{}, err
	}
	b := builder{idLength: idLength}
	if line == noID[:idLength]+" capabilities^{}" {
		_, special, err := p.Next()
		if err != nil || special != pktline.Flush {
			return List{}, errUnclear
		}
		return List{}, nil
	}
	for {
		if err := b.addV0(line); err != nil {
			return List{}, err
		}
		packet, special, err := p.Next()
		switch {
		case err != nil, special != "" && special != pktline.Flush:
			return List{}, errUnclear
		case special == pktline.Flush:
			return b.listV0(head)
		}
		line = pktline.Text(packet)
	}
}

// readWords reads the capabilities of version 0: the length of ids, and the target of HEAD.
func readWords(words string) (idLength int, head string, err error) {
	if strings.ContainsFunc(words, unicode.IsControl) {
		return 0, "", errUnclear
	}
	idLength = 40
	formats, symrefs := 0, 0
	for word := range strings.SplitSeq(words, " ") {
		switch key, value, _ := strings.Cut(word, "="); key {
		case "object-format":
			formats++
			idLength = idLengthOf(value)
		case "symref":
			symrefs++
			name, target, _ := strings.Cut(value, ":")
			if name != headName {
				return 0, "", errUnclear
			}
			head = target
		}
	}
	if formats > 1 || symrefs > 1 || idLength == 0 {
		return 0, "", errUnclear
	}
	return idLength, head, nil
}

// readRefs reads the list of version 2, up to its flush packet.
func readRefs(p *pktline.Reader, idLength int) (List, error) {
	b := builder{idLength: idLength}
	for {
		line, special, err := p.Next()
		switch {
		case err != nil, special != "" && special != pktline.Flush:
			return List{}, errUnclear
		case special == pktline.Flush:
			return b.sorted()
		}
		if err := b.addV2(pktline.Text(line)); err != nil {
			return List{}, err
		}
	}
}

const headName = "HEAD"

// builder makes a list of lines.
type builder struct {
	idLength int
	list     List
	shallow  bool // no refs may follow
}

// cut takes an id and a space off a line.
func (b *builder) cut(line string) (id, rest string, ok bool) {
	if len(line) <= b.idLength || line[b.idLength] != ' ' || !isID(line[:b.idLength]) {
		return "", "", false
	}
	return line[:b.idLength], line[b.idLength+1:], true
}

// addV0 adds a line of version 0: an id and a name, or the peeled id of the tag before it, or a
// commit where the history of a shallow origin ends.
func (b *builder) addV0(line string) error {
	if id, shallow := strings.CutPrefix(line, "shallow "); shallow && len(id) == b.idLength && isID(id) {
		b.shallow = true
		return nil
	}
	id, name, ok := b.cut(line)
	if !ok || b.shallow {
		return errUnclear
	}
	if tag, peeled := strings.CutSuffix(name, "^{}"); peeled {
		n := len(b.list.Refs)
		if n == 0 || b.list.Refs[n-1].Name != tag || b.list.Refs[n-1].Peeled != b.list.Refs[n-1].ID {
			return errUnclear
		}
		b.list.Refs[n-1].Peeled = id
		return nil
	}
	return b.add(id, name)
}

// addV2 adds a line of version 2: an id, a name and attributes.
func (b *builder) addV2(line string) error {
	id, rest, ok := b.cut(line)
	if !ok {
		return errUnclear
	}
	name, attributes, _ := strings.Cut(rest, " ")
	if err := b.add(id, name); err != nil || attributes == "" {
		return err
	}
	for attribute := range strings.SplitSeq(attributes, " ") {
		target, symbolic := strings.CutPrefix(attribute, "symref-target:")
		peeled, isPeeled := strings.CutPrefix(attribute, "peeled:")
		switch {
		case symbolic && name == headName && isName(target) && b.list.HeadRef == "":
			b.list.HeadRef = target
		case symbolic && name != headName: // git ignores it too
		case isPeeled && name != headName && len(peeled) == b.idLength && isID(peeled):
			b.list.Refs[len(b.list.Refs)-1].Peeled = peeled
		default:
			return errUnclear
		}
	}
	return nil
}

// add adds a ref, or HEAD.
func (b *builder) add(id, name string) error {
	switch {
	case name == headName && b.list.HeadID == "":
		b.list.HeadID = id
	case isName(name):
		b.list.Refs = append(b.list.Refs, Ref{Name: name, ID: id, Peeled: id})
	default:
		return errUnclear
	}
	return nil
}

// listV0 is the list in version 0, with the target of HEAD. Git shows the target's id as that of
// HEAD, so the two must be equal.
func (b *builder) listV0(head string) (List, error) {
	l, err := b.sorted()
	if err != nil || l.HeadID == "" || head == "" {
		return l, err
	}
	i, found := slices.BinarySearchFunc(l.Refs, head, func(r Ref, name string) int { return strings.Compare(r.Name, name) })
	if !found || l.Refs[i].ID != l.HeadID {
		return List{}, errMoved
	}
	l.HeadRef = l.Refs[i].Name
	return l, nil
}

// sorted is the list.
func (b *builder) sorted() (List, error) {
	byName := func(a, b Ref) int { return strings.Compare(a.Name, b.Name) }
	if !slices.IsSortedFunc(b.list.Refs, byName) {
		slices.SortFunc(b.list.Refs, byName)
	}
	for i := 1; i < len(b.list.Refs); i++ {
		if b.list.Refs[i].Name == b.list.Refs[i-1].Name {
			return List{}, errUnclear
		}
	}
	return b.list, nil
}

// isName reports whether git reads a ref's name as it is.
func isName(name string) bool {
	if !strings.HasPrefix(name, "refs/") || strings.HasSuffix(name, "^{}") {
		return false
	}
	for i := range len(name) {
		if name[i] <= ' ' || name[i] == 0x7f {
			return false
		}
	}
	return true
}

// isID reports whether s consists of lower-case hex digits. All zeros stand for no object.
func isID(s string) bool {
	for i := range len(s) {
		if !hexDigits[s[i]] {
			return false
		}
	}
	return s != noID[:len(s)]
}

const noID = "0000000000000000000000000000000000000000000000000000000000000000"

var hexDigits = func() (is [256]bool) {
	for _, c := range []byte("0123456789abcdef") {
		is[c] = true
	}
	return is
}()
