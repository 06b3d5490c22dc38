package mirror

import (
	"fmt"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/refs"
)

func TestRefusedRefsText(t *testing.T) {
	var all []refs.Refused
	for i := range 12 {
		all = append(all, refs.Refused{Name: fmt.Sprintf("refs/heads/b%02d", i), Why: "object 1: hasDotgit: x"})
	}
	text := errtext.Tree(newRefusedRefs(all, 3))
	for _, want := range []string{
		"refused 12 of 15 refs, which stay as they were; all others are what the origin has\n├─ refs/heads/b00 leads to object 1: hasDotgit: x\n",
		"refs/heads/b09", "├─ and 2 more\n└─ the key fsck",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "b10") {
		t.Errorf("too many refs are named:\n%s", text)
	}
	if err := (fetchedPlan{}).refusal(); err != nil {
		t.Error(err)
	}
	if text := newRefusedRefs(all[:1], 0).Error(); !strings.HasPrefix(text, "refused 1 of 1 refs, which stay as they were: refs/heads/b00") {
		t.Error(text)
	}
}
