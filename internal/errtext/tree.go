package errtext

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/reconquest/hierr-go"
)

// Tree renders an error as a tree: each attempt above the reason of its failure.
//
//	can't fetch
//	└─ fatal: unable to access 'https://git.in.local/x.git/': …
//
// For a wrapping error, the tree has its text up to that of the wrapped error, which stands below.
// Joined errors stand side by side.
func Tree(err error) string {
	all := branchesOf(err)
	return all[0].with(all[1:]).String()
}

// branch is a node of a tree, with its text in one or several lines.
type branch struct {
	text  string
	below []branch
}

// with returns the branch with more branches below it: a tree has one root, so the reasons beside the
// first one stand below it.
func (b branch) with(more []branch) branch {
	return branch{b.text, append(slices.Clip(b.below), more...)}
}

func (b branch) String() string {
	below := make([]string, len(b.below))
	for i, one := range b.below {
		below[i] = one.String()
	}
	return Branches(b.text, below...)
}

// branchesOf returns the reasons of an error, side by side.
func branchesOf(err error) []branch {
	var inner []error
	switch e := err.(type) {
	case *several:
		return []branch{{e.what, allBranches(e.reasons)}}
	case *net.OpError, *fs.PathError, *os.LinkError, *os.SyscallError:
		// Their text is one sentence with the wrapped error's.
	case interface{ Unwrap() []error }:
		inner = e.Unwrap()
	case interface{ Unwrap() error }:
		if e.Unwrap() != nil {
			inner = []error{e.Unwrap()}
		}
	}
	text := err.Error()
	if len(inner) == 0 {
		return leaf(text)
	}
	if text == errors.Join(inner...).Error() { // the outer error adds nothing
		return allBranches(inner)
	}
	last := inner[len(inner)-1]
	if head, ok := strings.CutSuffix(text, ": "+last.Error()); ok {
		return []branch{{Clean(head), branchesOf(last)}}
	}
	return leaf(text)
}

func leaf(text string) []branch { return []branch{{text: Clean(text)}} }

func allBranches(errs []error) (all []branch) {
	for _, err := range errs {
		all = append(all, branchesOf(err)...)
	}
	return all
}

// several is an error with several reasons side by side.
type several struct {
	what    string
	reasons []error
}

// Several returns an error that says what was tried, and has several reasons side by side.
func Several(what string, reasons ...error) error { return &several{what, reasons} }

func (s *several) Error() string   { return s.what + ": " + errors.Join(s.reasons...).Error() }
func (s *several) Unwrap() []error { return s.reasons }

// Branches puts rendered trees below a line. It does not leave that to hierr, which copies the whole
// text for each child, and there may be a thousand.
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
