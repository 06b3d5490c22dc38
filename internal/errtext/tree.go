package errtext

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"strings"

	"github.com/reconquest/hierr-go"
)

// Tree renders an error: what was tried above why it failed.
//
//	can't fetch
//	└─ fatal: unable to access 'https://git.in.local/x.git/': …
//
// A wrapping error is what stands before the text of the error that it wraps. Errors that
// were joined stand side by side.
func Tree(err error) string { return hierr.String(hierarchy(err)) }

func hierarchy(err error) error {
	var inner []error
	switch e := err.(type) {
	case *several:
		return push(e.what, trees(e.reasons))
	case *net.OpError, *fs.PathError, *os.LinkError, *os.SyscallError:
		// They are one sentence.
	case interface{ Unwrap() []error }:
		inner = e.Unwrap()
	case interface{ Unwrap() error }:
		if e.Unwrap() != nil {
			inner = []error{e.Unwrap()}
		}
	}
	text := err.Error()
	switch {
	case len(inner) == 0:
		return hierr.Errorf(nil, "%s", Clean(text))
	case text == inner[0].Error(): // it adds nothing
		return hierarchy(inner[0])
	}
	last := inner[len(inner)-1]
	if head, ok := strings.CutSuffix(text, ": "+last.Error()); ok {
		return hierr.Errorf(hierr.String(hierarchy(last)), "%s", Clean(head))
	}
	if len(inner) > 1 { // errors.Join
		return push(Tree(inner[0]), trees(inner[1:]))
	}
	return hierr.Errorf(nil, "%s", Clean(text))
}

// several is an error with several reasons, none of which stands above the others.
type several struct {
	what    string
	reasons []error
}

// Several is an error that says what was tried, with several reasons side by side.
func Several(what string, reasons ...error) error { return &several{what, reasons} }

func (s *several) Error() string   { return s.what + ": " + errors.Join(s.reasons...).Error() }
func (s *several) Unwrap() []error { return s.reasons }

func trees(errs []error) []string {
	var all []string
	for _, err := range errs {
		all = append(all, Tree(err))
	}
	return all
}

// Branches puts rendered trees below a line. hierr copies all that it has for each child, and
// of those there may be a thousand, so the lines are drawn here.
func Branches(top string, below ...string) string {
	var b strings.Builder
	b.WriteString(top)
	for i, tree := range below {
		lead, indent := hierr.BranchSplitter, hierr.BranchChainer+" "
		if i == len(below)-1 {
			lead, indent = hierr.BranchDelimiter, "   "
		}
		for line := range strings.SplitSeq(tree, "\n") {
			b.WriteString("\n" + lead + line)
			lead = indent
		}
	}
	return b.String()
}

// push is Branches as an error.
func push(top string, below []string) error { return errors.New(Branches(top, below...)) }
