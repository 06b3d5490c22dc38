package git

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// treeReader takes in what "git cat-file --batch" prints of trees, and tells of their
// entries: a line "<id> tree <size>", then so many bytes, then a newline. An entry is
// "<mode> <name>", a zero, and the bytes of an id.
type treeReader struct {
	each func(tree, name, target string)
	rest []byte // what is not complete
}

func (t *treeReader) Write(p []byte) (int, error) {
	t.rest = append(t.rest, p...)
	for {
		line, body, complete := bytes.Cut(t.rest, []byte("\n"))
		if !complete {
			return len(p), nil
		}
		fields := strings.Fields(string(line))
		if len(fields) != 3 || fields[1] != "tree" {
			return 0, fmt.Errorf("git cat-file says %.200q of a tree", line)
		}
		size, err := strconv.Atoi(fields[2])
		if err != nil || size < 0 {
			return 0, fmt.Errorf("git cat-file says %.200q of a tree", line)
		}
		if len(body) < size+1 {
			return len(p), nil
		}
		t.entries(fields[0], body[:size])
		t.rest = body[size+1:]
	}
}

func (t *treeReader) entries(tree string, body []byte) {
	length := len(tree) / 2
	for {
		head, after, ok := bytes.Cut(body, []byte{0})
		if !ok || len(after) < length {
			return
		}
		_, name, _ := strings.Cut(string(head), " ")
		t.each(tree, name, hex.EncodeToString(after[:length]))
		body = after[length:]
	}
}

// leadsAstray reports whether a name in a tree that consists of several parts leads out of
// the directory that it is unpacked in, or into a repository's own files. In doubt it does:
// on some systems a backslash is a slash, and ".git" can be written in many ways.
func leadsAstray(name string) bool {
	for part := range strings.SplitSeq(strings.ReplaceAll(name, `\`, "/"), "/") {
		plain, _, _ := strings.Cut(plainName(part), ":")
		plain = strings.TrimRight(plain, " .")
		if part == "" || part == "." || part == ".." || plain == ".git" || plain == "git~1" {
			return true
		}
	}
	return false
}

// plainName is a name in small letters and without what some file systems pass over.
func plainName(name string) string {
	return strings.Map(func(c rune) rune {
		if c > '~' {
			return -1
		}
		return c
	}, strings.ToLower(name))
}

// readAs reports whether git reads a file of that name because of its name, so that what is
// wrong with the file is what a message with this id is about. In doubt it does: some file
// systems have short names for long ones.
func readAs(name, id string) bool {
	plain := plainName(name)
	switch {
	case strings.HasPrefix(id, "gitmodules"):
		return strings.Contains(plain, "gitmod") || strings.HasPrefix(plain, "gi7e")
	case strings.HasPrefix(id, "gitattributes"):
		return strings.Contains(plain, "gitatt") || strings.HasPrefix(plain, "gi7d")
	}
	return true
}
