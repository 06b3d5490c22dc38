package refs

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
)

// FuzzRetain takes any refs of the mirror's own. Every lost ref is retained, none twice, and
// not too many.
func FuzzRetain(f *testing.F) {
	const now = 1_800_000_000
	for _, s := range [][2]string{
		{"1799999999/heads/x", "heads/x"}, {"1/heads/x\n1800000000/heads/y\n1800000000-1/heads/y", "heads/x\nheads/x/y"}, {"\n/\n-/x\n99999999999999999999/x", "tags/" + strings.Repeat("x", 250)},
		{"1800000000/heads/x", "heads/x"}, {"1800000000", "heads/x"}, {"-5/heads/x\n+7/heads/y", "a/b\na/b"}, {"9223372036854775807/heads/x\n-9223372036854775808/heads/x", "x"},
	} {
		f.Add(s[0], s[1], int64(720*time.Hour), byte(0))
		f.Add(s[0], s[1], int64(720*time.Hour), byte(0x11))
	}
	f.Add("1799999999/sould/HEAD\n1799999999/HEAD", " HEAD\nHEAD", int64(720*time.Hour), byte(0x22))
	f.Add("1799999997/tags/t\n1799999998/tags/t\n1799999999/tags/t\n1799999999/tags/u", "tags/t\ntags/u", int64(720*time.Hour), byte(0x22))
	id := func(i int) string { return strings.Repeat(fmt.Sprintf("%02x", i%256), 20) }
	f.Fuzz(func(t *testing.T, mine, gone string, span int64, bounds byte) {
		refs := func(prefix, text string, from int) (all []git.Ref) {
			for i, name := range strings.Split(text, "\n") {
				if name = prefix + name; name == "refs/ HEAD" {
					name = "HEAD" // as if it was detached
				}
				if git.IsRefName(name) || name == "HEAD" {
					all = append(all, git.Ref{Name: name, ID: id(from + i), Peeled: id(from + i)})
				}
			}
			slices.SortStableFunc(all, func(a, b git.Ref) int { return strings.Compare(a.Name, b.Name) })
			return slices.CompactFunc(all, func(a, b git.Ref) bool { return a.Name == b.Name })
		}
		own, lost := refs(retainedPrefix, mine, 0), refs("refs/", gone, len(mine))
		lost = slices.DeleteFunc(lost, func(ref git.Ref) bool { return strings.HasPrefix(ref.Name, Own) }) // an origin cannot have these
		if checkCompatible(git.Listing{Refs: own}) != nil || checkCompatible(git.Listing{Refs: lost}) != nil {
			return // no repository has such refs
		}
		at, keeping := time.Unix(now, 0), time.Duration(span)
		most := Limits{keeping, int(bounds>>4) + 1, int(bounds&15) + 1}
		after, early := Retain(own, lost, at, most)
		has := make(map[string]bool)
		for i, ref := range after {
			has[ref.ID] = true
			if i > 0 && after[i-1].Name >= ref.Name || !git.IsRefName(ref.Name) || !strings.HasPrefix(ref.Name, retainedPrefix) {
				t.Errorf("%q and %q are kept as %v", mine, gone, after)
			}
		}
		if err := checkCompatible(git.Listing{Refs: after}); err != nil {
			t.Errorf("%q and %q are kept as %v: %v", mine, gone, after, err)
		}
		for _, ref := range lost {
			if keeping > 0 && !has[ref.ID] {
				t.Errorf("%s is lost", ref.Name)
			}
		}
		values, pulls := make(map[string]int), make(map[string]int)
		for _, k := range RetainedAmong(after) {
			values[k.Ref]++
			pulls[k.dir]++
			if k.Ref == "" || !git.IsID(k.ID) || values[k.Ref] > most.values {
				t.Errorf("kept is %+v among %v", k, after)
			}
		}
		total, largest := 0, 0
		for _, n := range pulls {
			total, largest = total+n, max(largest, n)
		}
		if total-largest >= most.refs {
			t.Errorf("%d are kept, not %d: %v", total, most.refs, after)
		}
		if unbounded, _ := Retain(own, lost, at, Limits{keeping, len(own) + len(lost) + 1, len(own) + len(lost) + 1}); len(unbounded) != len(after)+early {
			t.Errorf("%d went early, and %d of %d stay", early, len(after), len(unbounded))
		}
		if keeping > 0 { // the same pull again retains nothing twice
			most.span = max(keeping, time.Hour)
			if again, _ := Retain(after, lost, at.Add(time.Second), most); len(again) > len(after) {
				t.Errorf("%v became %v", after, again)
			}
		}
	})
}
