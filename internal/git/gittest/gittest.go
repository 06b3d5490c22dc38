// Package gittest makes listings of refs for tests.
package gittest

import (
	"slices"
	"strings"

	"github.com/reconquest/sould/internal/git"
)

// ID is an object id of 40 times this letter.
func ID(letter string) string { return strings.Repeat(letter, 40) }

// Listing makes a listing of words such as "heads/main=a", with a HEAD of "HEAD=main" (a
// branch) or "HEAD=a" (detached), or without one.
func Listing(words ...string) git.Listing {
	var l git.Listing
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		if name == "HEAD" {
			l.Head = git.Head{ID: ID(value)}
			if len(value) > 1 {
				l.Head = git.Head{Ref: "refs/heads/" + value}
			}
			continue
		}
		l.Refs = append(l.Refs, git.Ref{Name: "refs/" + name, ID: ID(value), Peeled: ID(value)})
	}
	slices.SortFunc(l.Refs, func(a, b git.Ref) int { return strings.Compare(a.Name, b.Name) })
	if ref, ok := l.Find(l.Head.Ref); ok {
		l.Head.ID = ref.ID
	}
	return l
}
