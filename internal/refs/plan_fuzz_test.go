package refs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/git"
)

// planListing makes a listing of pairs of bytes: a name and an id.
func planListing(text []byte) git.Listing {
	id := func(b byte) string { return strings.Repeat(fmt.Sprintf("%02x", b&15), 20) }
	var l git.Listing
	if len(text) > 0 {
		kind, rest := text[0], text[1:]
		if l.Head.Ref = planNames[int(kind>>1)%len(planNames)]; kind&1 != 0 {
			l.Head = git.Head{ID: id(kind >> 1)}
		}
		for i := 0; i+1 < len(rest); i += 2 {
			l.Refs = append(l.Refs, git.Ref{Name: planNames[int(rest[i])%len(planNames)], ID: id(rest[i+1]), Peeled: id(rest[i+1])})
		}
	}
	slices.SortStableFunc(l.Refs, func(a, b git.Ref) int { return strings.Compare(a.Name, b.Name) })
	l.Refs = slices.CompactFunc(l.Refs, func(a, b git.Ref) bool { return a.Name == b.Name })
	if ref, ok := l.Find(l.Head.Ref); ok {
		l.Head.ID = ref.ID
	}
	return l
}

// FuzzPlan checks what must hold for every plan.
func FuzzPlan(f *testing.F) {
	many := []byte{0}
	for i := range 40 {
		many = append(many, byte(16+i), byte(i))
	}
	f.Add([]byte{0, 0, 1, 1, 1}, []byte{0, 0, 2}, false, byte(0))
	f.Add(many, []byte{0, 0, 1}, false, byte(0))
	f.Add(many, []byte{}, true, byte(0))
	f.Add(many, many[:30], false, byte(1))
	f.Add([]byte{3, 20, 1, 21, 2}, []byte{80, 20, 1, 21, 2}, false, byte(0)) // a detached HEAD becomes one without a branch
	f.Add([]byte{4, 2, 1, 9, 1}, []byte{6, 3, 1, 10, 2}, false, byte(2))
	f.Fuzz(func(t *testing.T, mine, theirs []byte, accept bool, which byte) {
		var patterns []Pattern
		for _, s := range [][]string{{"refs/heads/*", "refs/tags/*"}, {"refs/*"}, {"refs/heads/a*", "refs/pull/*/head"}}[which%3] {
			p, err := ParsePattern(s)
			if err != nil {
				t.Fatal(err)
			}
			patterns = append(patterns, p)
		}
		now, origin := planListing(mine), planListing(theirs)
		if checkCompatible(now) != nil || !now.Head.Detached() && !strings.HasPrefix(now.Head.Ref, "refs/heads/") {
			return // no repository has such refs
		}
		checkPlan(t, now, origin, patterns, accept)
	})
}

func checkPlan(t *testing.T, now, origin git.Listing, patterns []Pattern, accept bool) {
	want, had, gone := make(map[string]string), 0, 0
	for _, ref := range now.Refs {
		_, kept := origin.Find(ref.Name)
		switch ours := selected(patterns, ref.Name); {
		case !ours:
			want[ref.Name] = ref.ID
		case !kept:
			gone++
			fallthrough
		default:
			had++
		}
	}
	arriving := 0
	for _, ref := range origin.Refs {
		if selected(patterns, ref.Name) {
			want[ref.Name] = ref.ID
			arriving++
		}
	}
	mustRefuse := had > 0 && arriving == 0 || gone > tolerableDeletions && 2*gone > had
	accepts := Acceptance("")
	if accept {
		accepts = AcceptAll
	}

	p, err := Make(now, origin, patterns, accepts)
	var no *Refusal
	if errors.As(err, &no) != (mustRefuse && !accept) {
		t.Fatalf("%d of %d refs are gone, %d arrive, accept %q: %v", gone, had, arriving, accepts, err)
	}
	if accept && err == nil { // to accept exactly this result gives the same plan
		_, same := Make(now, origin, patterns, Acceptance(FingerprintOf(p.After, patterns)))
		_, other := Make(now, origin, patterns, Acceptance(FingerprintOf(git.Listing{Head: git.Head{ID: "another"}}, nil)))
		if same != nil || errors.As(other, &no) != mustRefuse {
			t.Errorf("accepting what it becomes: %v; another thing: %v", same, other)
		}
	}
	if err != nil {
		if len(p.Write)+len(p.Remove)+len(p.Fetch) > 0 || p.Head != nil {
			t.Errorf("a plan beside the error %v: %+v", err, p)
		}
		return
	}
	got := make(map[string]string)
	for i, ref := range p.After.Refs {
		got[ref.Name] = ref.ID
		if i > 0 && p.After.Refs[i-1].Name >= ref.Name {
			t.Errorf("%s stands before %s", p.After.Refs[i-1].Name, ref.Name)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the mirror would hold\n%v\nwant\n%v", got, want)
	}
	if err := checkCompatible(p.After); err != nil {
		t.Error(err)
	}

	// The refs that are written and removed turn the old state into the new one.
	known, brought, applied := map[string]bool{now.Head.ID: true}, make(map[string]bool), make(map[string]string)
	for _, ref := range now.Refs {
		known[ref.ID], applied[ref.Name] = true, ref.ID
	}
	for _, name := range p.Remove {
		if _, ok := applied[name]; !ok {
			t.Errorf("%s is to be removed and is not there", name)
		}
		delete(applied, name)
	}
	for _, id := range p.Fetch {
		if known[id] || brought[id] {
			t.Errorf("%s is fetched, and is known", id)
		}
		brought[id] = true
	}
	for _, ref := range p.Write {
		applied[ref.Name] = ref.ID
		if !known[ref.ID] && !brought[ref.ID] {
			t.Errorf("%s becomes %s, which nobody brings", ref.Name, ref.ID)
		}
	}
	if fmt.Sprint(applied) != fmt.Sprint(want) {
		t.Errorf("written and removed: %v, want %v", applied, want)
	}

	// HEAD on disk equals what readers are told.
	head := now.Head
	if p.Head != nil {
		head = *p.Head
	}
	if !head.Detached() {
		ref, _ := p.After.Find(head.Ref)
		head.ID = ref.ID
	}
	if head != p.After.Head {
		t.Errorf("HEAD was %v, the origin's is %v; readers are told %v, on disk is %v", now.Head, origin.Head, p.After.Head, head)
	}
	if head.Ref == "" && head.ID == "" && now.Head != head {
		t.Error("HEAD becomes nothing at all")
	}
	if head.Detached() && !known[head.ID] && !brought[head.ID] {
		t.Errorf("HEAD becomes %s, which nobody brings", head.ID)
	}
	if again, err := Make(p.After, origin, patterns, accepts); err != nil || !again.Empty() {
		t.Errorf("the next pull would do something again: %+v, %v", again, err)
	}
}

// planNames are the refs that FuzzPlan uses: some cannot exist side by side, some are selected
// by no pattern, and there are enough for a refusal.
var planNames = func() (names []string) {
	names = []string{
		"refs/heads/main", "refs/heads/master", "refs/heads/a", "refs/heads/a/b", "refs/heads/a/b/c", "refs/heads/a-b", "refs/heads/-x",
		"refs/tags/a", "refs/tags/v1", "refs/pull/1/head", "refs/sould/x", "refs/replace/" + strings.Repeat("1", 40), "refs/notes/x", "refs/heads/..", "HEAD", "refs/heads/a b",
	}
	for i := range 48 {
		names = append(names, fmt.Sprintf("refs/heads/n%02d", i))
	}
	return names
}()
