package tests

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// TestTemporaryRefsThatSomebodyHasPacked are removed by the next pull, whatever it brings.
func TestTemporaryRefsThatSomebodyHasPacked(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t)
	d.pulled("m", r.Dir)
	for i := range 3 {
		tip := r.Git("rev-parse", "main")
		git(t, d.mirror("m"), "update-ref", "refs/sould/incoming/"+tip, tip)
		git(t, d.mirror("m"), "pack-refs", "--all")
		if i > 0 {
			r.Commit("main", map[string]string{"file": fmt.Sprint(i, " new")})
		}
		d.pulled("m", r.Dir)
		if refs := git(t, d.mirror("m"), "for-each-ref", "refs/sould/incoming"); refs != "" {
			t.Errorf("still held are\n%s", refs)
		}
		if got, want := refs(t, d.mirror("m")), refs(t, r.Dir); got != want {
			t.Errorf("the mirror has\n%swant\n%s", got, want)
		}
	}
}

// TestRepacksByHandBesidePushes lose nothing, and no POST fails because of them.
func TestRepacksByHandBesidePushes(t *testing.T) {
	t.Parallel()
	r, url := history(t, 1)
	d := start(t)
	d.pulled("m", url)
	stop := make(chan bool)
	var operator sync.WaitGroup
	for _, commands := range [][][]string{{{"repack", "-adq"}, {"gc", "--quiet"}}, {{"pack-refs", "--all"}}} {
		operator.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default: // it may meet another one's lock
					_ = origin.Command(append([]string{"--git-dir=" + d.mirror("m")}, commands[i%len(commands)]...)...).Run()
				}
			}
		})
	}
	for i := range 40 {
		commit := r.Commit(fmt.Sprint("b", i), map[string]string{"file": fmt.Sprint(i)})
		d.pulled("m", url)
		d.get("/m?ref="+commit).expect(t, 200)
	}
	close(stop)
	operator.Wait()
	d.pulled("m", url)
	d.whole("m", r)
	if refs := git(t, d.mirror("m"), "for-each-ref", "refs/sould/incoming"); refs != "" {
		t.Errorf("still held are\n%s", refs)
	}
	if strings.Contains(d.log.String(), "damaged") {
		t.Errorf("it was damaged:\n%s", d.log)
	}
}

// TestNestedBranchesChangedByHand of a mirror without an origin.
func TestNestedBranchesChangedByHand(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	r.Git("branch", "feature/x", "main")
	d := start(t)
	d.copyIn(r.Dir, "m")
	first := r.Git("rev-parse", "feature/x")
	d.get("/m?ref=feature/x").expect(t, 200, "X-Revision", first)
	git(t, d.mirror("m"), "-c", "user.name=T", "-c", "user.email=t@example.org", "update-ref", "refs/heads/feature/x",
		git(t, d.mirror("m"), "commit-tree", "-m", "by hand", "main^{tree}"))
	now := git(t, d.mirror("m"), "rev-parse", "feature/x")
	eventually(t, "it is noticed", func() bool {
		a := d.get("/m?ref=feature/x")
		return a.StatusCode == http.StatusOK && a.Header.Get("X-Revision") == now
	})
}
