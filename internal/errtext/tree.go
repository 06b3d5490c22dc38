package errtext

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/reconquest/hierr-go"

	"github.com/reconquest/sould/internal/git"
)

// Tree renders an error as a tree: each attempt above the reason of its failure.
//
//	can't fetch
//	└─ fatal: unable to access 'https://git.in.local/x.git/': …
//
// For a wrapping error, the tree has its text up to that of the wrapped error, which stands below.
// Joined errors stand side by side, also where nothing stands above them:
//
//	├─ can't fetch
//	│  └─ no space left on device
//	└─ can't write the state
//	   └─ no space left on device
func Tree(err error) string { return forest(branchesOf(err)) }

// Branches takes the text of a tree apart, so that what stands side by side at its top can stand
// side by side in another tree.
func Branches(text string) (all []Branch) {
	if !strings.HasPrefix(text, hierr.BranchSplitter) {
		return []Branch{{Text: text}}
	}
	const indent = 3 // characters before a line of a branch at the top
	for line := range strings.SplitSeq(text, "\n") {
		rest, begins := strings.CutPrefix(line, hierr.BranchSplitter)
		if !begins {
			rest, begins = strings.CutPrefix(line, hierr.BranchDelimiter)
		}
		if begins {
			all = append(all, Branch{Text: rest})
			continue
		}
		last := &all[len(all)-1]
		last.Text += "\n" + string([]rune(line)[min(indent, utf8.RuneCountInString(line)):])
	}
	return all
}

// Branch is a node of a tree: its text, in one or several lines, and the nodes below it.
type Branch struct {
	Text  string
	Below []Branch
}

// String renders the tree in the style of hierr, without control characters, and without a line end
// after the last line. hierr itself copies the whole text for each branch, and a status may have
// ten thousand.
func (b Branch) String() string {
	var text strings.Builder
	text.WriteString(git.Printable(b.Text))
	writeBranches(&text, "\n", b.Below)
	return text.String()
}

// forest renders branches that have nothing above them.
func forest(all []Branch) string {
	if len(all) == 1 {
		return all[0].String()
	}
	var text strings.Builder
	writeBranches(&text, "\n", all)
	return strings.TrimPrefix(text.String(), "\n")
}

// writeBranches writes branches side by side. indent is a line end and what stands before each line.
func writeBranches(text *strings.Builder, indent string, all []Branch) {
	for i, one := range all {
		fork, below := hierr.BranchSplitter, indent+hierr.BranchChainer+" "
		if i == len(all)-1 {
			fork, below = hierr.BranchDelimiter, indent+"   "
		}
		lead := indent + fork
		for line := range strings.SplitSeq(git.Printable(one.Text), "\n") {
			text.WriteString(lead)
			text.WriteString(line)
			lead = below
		}
		writeBranches(text, below, one.Below)
	}
}

// branchesOf returns the reasons of an error, side by side.
func branchesOf(err error) []Branch {
	var inner []error
	switch e := err.(type) {
	case *several:
		return []Branch{{e.what, allBranches(e.reasons)}}
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
		return []Branch{{Clean(head), branchesOf(last)}}
	}
	return leaf(text)
}

func leaf(text string) []Branch { return []Branch{{Text: Clean(text)}} }

func allBranches(errs []error) (all []Branch) {
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
