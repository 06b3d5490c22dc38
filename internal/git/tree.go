package git

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// treeReader reads what "git cat-file --batch" prints about trees, and calls each with every
// entry. A tree is a line "<id> tree <size>", as many bytes, and a newline. An entry is "<mode>
// <name>", a zero byte, and the bytes of an id.
type treeReader struct {
	each func(tree, name, target string)
	rest []byte // of a tree that is not complete
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
			return 0, fmt.Errorf("git cat-file prints %.200q for a tree", line)
		}
		size, err := strconv.Atoi(fields[2])
		if err != nil || size < 0 {
			return 0, fmt.Errorf("git cat-file prints %.200q for a tree", line)
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

// isDangerousPath reports whether a name in a tree that consists of several parts may lead out
// of the directory that it is unpacked in, or into a repository's own files: on some systems a
// backslash is a slash, and ".git" can be written in many ways.
func isDangerousPath(name string) bool {
	for part := range strings.SplitSeq(strings.ReplaceAll(name, `\`, "/"), "/") {
		plain, _, _ := strings.Cut(plainName(part), ":")
		plain = strings.TrimRight(plain, " .")
		if part == "" || part == "." || part == ".." || plain == ".git" || plain == "git~1" {
			return true
		}
	}
	return false
}

// plainName is a name in lower case, without the characters that some file systems ignore.
func plainName(name string) string {
	return strings.Map(func(c rune) rune {
		if c > '~' {
			return -1
		}
		return c
	}, strings.ToLower(name))
}

// isReadAs reports whether git may read a file with this name as the one that a message with
// this id is about. It may be a short name, which some file systems have for long ones.
func isReadAs(name, id string) bool {
	plain := plainName(name)
	switch {
	case strings.HasPrefix(id, "gitmodules"):
		return strings.Contains(plain, "gitmod") || strings.HasPrefix(plain, "gi7e")
	case strings.HasPrefix(id, "gitattributes"):
		return strings.Contains(plain, "gitatt") || strings.HasPrefix(plain, "gi7d")
	}
	return true
}
