package refs

import (
	"strings"
	"testing"
)

// TestIncludeDefaults tells which patterns select all branches and tags.
func TestIncludeDefaults(t *testing.T) {
	for patterns, want := range map[string]bool{
		"":                         false,
		"refs/heads/* refs/tags/*": true,
		"refs/tags/* refs/pull/*/head refs/heads/*": true,
		"refs/*":                                     true,
		"refs/heads/*":                               false,
		"refs/tags/*":                                false,
		"refs/heads/main refs/tags/*":                false,
		"refs/heads/a* refs/tags/*":                  false,
		"refs/heads/*/x refs/tags/*":                 false,
		"refs/heads/* refs/tags/v1 refs/remotes/*":   false,
		"refs/headsandmore/* refs/heads refs/tags/*": false,
	} {
		var all []Pattern
		for s := range strings.FieldsSeq(patterns) {
			p, err := ParsePattern(s)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, p)
		}
		if got := IncludeDefaults(all); got != want {
			t.Errorf("%q: %v", patterns, got)
		}
	}
}
