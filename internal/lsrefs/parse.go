package lsrefs

import (
	"errors"
	"slices"
	"strings"
	"unicode"

	"github.com/reconquest/sould/internal/pktline"
)

// What is read here git reads as well (connect.c, remote-curl.c), and more leniently. All that it
// might take for something else is refused, and left to it.

// greeting is the answer to the first question.
type greeting struct {
	list     List // in version 0
	modern   bool // it is one of version 2, with these capabilities
	idLength int
	format   string // object-format, as the server says it; empty if it does not
	agent    bool   // the client may say who it is
}

// errLine is why a list is for git.
var errLine = &foreign{why: "git may read the answer in another way"}

// errMoved is why one is for git that would be another a moment later.
var errMoved = errors.New("the branch of HEAD has moved while the list was made")

// readGreeting reads the answer to the first question, but for its end.
func readGreeting(p *pktline.Reader) (greeting, error) {
	line, err := nextLine(p)
	if err == nil && line == "# service=git-upload-pack" {
		if _, special, err := p.Next(); err != nil || special != pktline.Flush {
			return greeting{}, errLine
		}
		packet, special, err := p.Next()
		switch line = pktline.Text(packet); {
		case err != nil, special != "" && special != pktline.Flush:
			return greeting{}, errLine
		case special == pktline.Flush: // there is no ref, and nothing to do
			return greeting{}, nil
		case line != "version 2":
			l, err := readAdvertisement(p, line)
			return greeting{list: l}, err
		}
	}
	if err != nil || line != "version 2" {
		return greeting{}, errLine
	}
	return readCapabilities(p)
}

// nextLine is the next line of a stream, which must not be a special packet.
func nextLine(p *pktline.Reader) (string, error) {
	line, special, err := p.Next()
	if err != nil || special != "" {
		return "", errLine
	}
	return pktline.Text(line), nil
}

// readCapabilities reads what a server can do in version 2.
func readCapabilities(p *pktline.Reader) (greeting, error) {
	g := greeting{modern: true, idLength: 40}
	lists := false
	for {
		line, special, err := p.Next()
		if err != nil || special != "" && special != pktline.Flush {
			return g, errLine
		}
		if special == pktline.Flush {
			if !lists {
				return g, errLine
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
				return g, errLine
			}
			g.format = value
		}
	}
}

// idLengthOf is how many hex digits the ids of an object format have; 0 for one that is not known.
func idLengthOf(format string) int { return map[string]int{"sha1": 40, "sha256": 64}[format] }

// lsRefs is the second question of version 2.
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

// readAdvertisement reads a list in version 0, the first line of which was read.
func readAdvertisement(p *pktline.Reader, first string) (List, error) {
	line, words, ok := strings.Cut(first, "\x00")
	if !ok {
		return List{}, errLine
	}
	idLength, head, err := readWords(words)
	if err != nil {
		return List{}, err
	}
	b := builder{idLength: idLength}
	if line == strings.Repeat("0", idLength)+" capabilities^{}" {
		_, special, err := p.Next()
		if err != nil || special != pktline.Flush {
			return List{}, errLine
		}
		return List{}, nil
	}
	for {
		if err := b.addClassic(line); err != nil {
			return List{}, err
		}
		packet, special, err := p.Next()
		switch {
		case err != nil, special != "" && special != pktline.Flush:
			return List{}, errLine
		case special == pktline.Flush:
			return b.classic(head)
		}
		line = pktline.Text(packet)
	}
}

// readWords reads the capabilities of version 0: how long ids are, and what HEAD names.
func readWords(words string) (idLength int, head string, err error) {
	if strings.ContainsFunc(words, unicode.IsControl) {
		return 0, "", errLine
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
				return 0, "", errLine
			}
			head = target
		}
	}
	if formats > 1 || symrefs > 1 || idLength == 0 {
		return 0, "", errLine
	}
	return idLength, head, nil
}

// readRefs reads the answer to the second question of version 2, but for its end.
func readRefs(p *pktline.Reader, idLength int) (List, error) {
	b := builder{idLength: idLength}
	for {
		line, special, err := p.Next()
		switch {
		case err != nil, special != "" && special != pktline.Flush:
			return List{}, errLine
		case special == pktline.Flush:
			return b.sorted()
		}
		if err := b.addModern(pktline.Text(line)); err != nil {
			return List{}, err
		}
	}
}

const headName = "HEAD"

// builder makes a list of lines.
type builder struct {
	idLength int
	list     List
	shallow  bool // the lines that follow are no refs
}

// cut takes an id and a space off a line.
func (b *builder) cut(line string) (id, rest string, ok bool) {
	if len(line) <= b.idLength || line[b.idLength] != ' ' || !isID(line[:b.idLength]) {
		return "", "", false
	}
	return line[:b.idLength], line[b.idLength+1:], true
}

// addClassic takes in a line of version 0: an id and a name, or what the tag above leads to, or
// where the history of a shallow origin ends.
func (b *builder) addClassic(line string) error {
	if id, shallow := strings.CutPrefix(line, "shallow "); shallow && len(id) == b.idLength && isID(id) {
		b.shallow = true
		return nil
	}
	id, name, ok := b.cut(line)
	if !ok || b.shallow {
		return errLine
	}
	if tag, peeled := strings.CutSuffix(name, "^{}"); peeled {
		n := len(b.list.Refs)
		if n == 0 || b.list.Refs[n-1].Name != tag || b.list.Refs[n-1].Peeled != b.list.Refs[n-1].ID {
			return errLine
		}
		b.list.Refs[n-1].Peeled = id
		return nil
	}
	return b.add(id, name)
}

// addModern takes in a line of version 2: an id, a name and attributes.
func (b *builder) addModern(line string) error {
	id, rest, ok := b.cut(line)
	if !ok {
		return errLine
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
		case symbolic && name != headName: // nobody asks for it
		case isPeeled && name != headName && len(peeled) == b.idLength && isID(peeled):
			b.list.Refs[len(b.list.Refs)-1].Peeled = peeled
		default:
			return errLine
		}
	}
	return nil
}

// add takes in a ref, or HEAD.
func (b *builder) add(id, name string) error {
	switch {
	case name == headName && b.list.HeadID == "":
		b.list.HeadID = id
	case isName(name):
		b.list.Refs = append(b.list.Refs, Ref{Name: name, ID: id, Peeled: id})
	default:
		return errLine
	}
	return nil
}

// classic is the list of version 0, where HEAD names that branch. Git shows for HEAD what the
// branch has, and nothing if it is not there.
func (b *builder) classic(head string) (List, error) {
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
			return List{}, errLine
		}
	}
	return b.list, nil
}

// isName reports whether a name of a ref is the same word for whoever reads it.
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

// isID reports whether a word consists of hex digits as git writes them, and is not all zeros,
// which is no object.
func isID(s string) bool {
	zero := true
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
		zero = zero && c == '0'
	}
	return !zero
}
