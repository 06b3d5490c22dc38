package notify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/refs"
)

// id is an object's id that consists of one digit.
func id(digit string) string { return strings.Repeat(digit, 40) }

// listing is a list of refs: "main=1 topic=2", with HEAD at the first.
func listing(text string) (l git.Listing) {
	for i, word := range strings.Fields(text) {
		name, digit, _ := strings.Cut(word, "=")
		l.Refs = append(l.Refs, git.Ref{Name: "refs/heads/" + name, ID: id(digit), Peeled: id("f")})
		if i == 0 {
			l.Head = git.Head{Ref: "refs/heads/" + name, ID: id(digit)}
		}
	}
	slices.SortFunc(l.Refs, func(a, b git.Ref) int { return strings.Compare(a.Name, b.Name) })
	return l
}

func state(text string) *mirror.Snapshot {
	return &mirror.Snapshot{Listing: listing(text), Fingerprint: refs.FingerprintOf(listing(text), refs.DefaultPatterns())}
}

func TestTell(t *testing.T) {
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, told, now string
		blank           bool
		want            string // the refs that are told: name, old and new digit; empty for nothing
		old             string // the old default branch
	}{
		{"new", "", "main=1", false, "main 0 1", ""},
		{"moved", "main=1 v=2", "main=3 v=2", false, "main 1 3", ""},
		{"created and deleted", "main=1 a=2", "main=1 b=2", false, "a 2 0, b 0 2", ""},
		{"the default branch comes first", "z=1 a=1 m=1", "z=2 a=2 m=2", false, "z 1 2, a 1 2, m 1 2", ""},
		{"the same", "main=1", "main=1", false, "", ""},
		{"another default branch", "main=1 next=1", "next=1 main=1", false, "none", "refs/heads/main"},
		{"all gone", "main=1", "", false, "main 1 0", "refs/heads/main"},
		{"what was there is not known", "", "main=1", true, "", ""},
	} {
		before := ledger{Mirror: "m", Blank: c.blank, Told: keep(listing(c.told))}
		after, told, err := before.tell(news{name: "m", snap: state(c.now), servers: []string{"a", "a/b"}}, at, "id1")
		if err != nil || told != (c.want != "") || after.Blank || after.Fingerprint != state(c.now).Fingerprint || !reflect.DeepEqual(after.Told, keep(listing(c.now))) {
			t.Errorf("%s: %v %v %+v", c.name, err, told, after)
			continue
		}
		if !told {
			if after.Delivery != nil {
				t.Errorf("%s: %s", c.name, after.Delivery.Body)
			}
			continue
		}
		var m Message
		if err := json.Unmarshal(after.Delivery.Body, &m); err != nil {
			t.Fatal(err)
		}
		var words []string
		for _, ref := range m.Refs {
			words = append(words, strings.TrimPrefix(ref.Name, "refs/heads/")+" "+ref.Old[:1]+" "+ref.New[:1])
		}
		if got := strings.Join(words, ", "); got != strings.TrimPrefix(c.want, "none") || m.ID != "id1" || !m.Time.Equal(at) || m.Servers != 3 || m.OldDefaultBranch != c.old {
			t.Errorf("%s: %s", c.name, after.Delivery.Body)
		}
	}
}

// TestTellRemoval: a mirror that was removed is told with all that it had, and one that is made anew under its name is
// told after that, as new.
func TestTellRemoval(t *testing.T) {
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	anew := state("main=3")
	anew.Removed = at
	known := ledger{Mirror: "m", Origin: "https://a/b", Fingerprint: state("main=1").Fingerprint, Told: keep(listing("main=1 a=2")), At: at}
	for _, c := range []struct {
		name   string
		before ledger
		now    news
		want   []string // what is told, one after the other
	}{
		{"removed", known, news{removed: at}, []string{"removed main 1 0, a 2 0"}},
		{"what was there is not known", ledger{Mirror: "m", Blank: true}, news{removed: at}, []string{"removed "}},
		{"nobody was told of it", ledger{Mirror: "m"}, news{removed: at}, nil},
		{"made anew", known, news{snap: anew}, []string{"removed main 1 0, a 2 0", "main 0 3"}},
		{"made anew after that was told", ledger{Mirror: "m", Removed: at}, news{snap: anew}, []string{"main 0 3"}},
		{"as new as what was told", ledger{Mirror: "m", Fingerprint: "f", Removed: at, Told: keep(listing("main=1"))}, news{snap: anew}, []string{"main 1 3"}},
	} {
		c.now.name = "m"
		var got []string
		l, told, err := c.before.tell(c.now, at, "id")
		for ; told && err == nil && len(got) < 3; l, told, err = l.tell(c.now, at, "id") {
			var m Message
			if err := json.Unmarshal(l.Delivery.Body, &m); err != nil {
				t.Fatal(err)
			}
			var words []string
			for _, ref := range m.Refs {
				words = append(words, strings.TrimPrefix(ref.Name, "refs/heads/")+" "+ref.Old[:1]+" "+ref.New[:1])
			}
			text := strings.Join(words, ", ")
			if m.Removed {
				text = "removed " + text
				if l.isKnown() || !l.Removed.Equal(at) || m.Revision+m.DefaultBranch != "" || m.Origin != c.before.Origin || m.OldDefaultBranch != c.before.Told.Head.Ref {
					t.Errorf("%s: %s, and %+v", c.name, l.Delivery.Body, l)
				}
			}
			got = append(got, text)
			text2, err := l.bytes()
			again, err2 := parseLedger(text2)
			if err != nil || err2 != nil || !reflect.DeepEqual(again, l) {
				t.Errorf("%s: %v %v: %+v became %+v", c.name, err, err2, l, again)
			}
			l.Delivery = nil
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %q, want %q", c.name, err, got, c.want)
		}
	}
}

// TestMessageIsBounded: what is left out is counted.
func TestMessageIsBounded(t *testing.T) {
	many, long := "main=1", "main=1"
	for i := range 3 * maxRefs {
		many += fmt.Sprintf(" b%d=1", i)
	}
	for i := range 200 {
		long += fmt.Sprintf(" %s%d=1", strings.Repeat("x", 4000), i)
	}
	servers := make([]string, 3*maxSlaves)
	for _, text := range []string{many, long} {
		l, told, err := ledger{Mirror: "m"}.tell(news{name: "m", snap: state(text), servers: servers}, time.Now(), "id")
		var m Message
		if err != nil || !told || json.Unmarshal(l.Delivery.Body, &m) != nil {
			t.Fatal(err, told)
		}
		if n := len(strings.Fields(text)); len(m.Refs)+m.MoreRefs != n || len(m.Refs) > maxRefs || len(l.Delivery.Body) > 300<<10 ||
			m.Refs[0].Name != "refs/heads/main" || len(m.Slaves) != maxSlaves || m.Servers != len(servers)+1 {
			t.Errorf("%d refs are told in %d bytes, and %d are not, of %d", len(m.Refs), len(l.Delivery.Body), m.MoreRefs, n)
		}
	}
}

func FuzzLedger(f *testing.F) {
	l, _, err := ledger{Mirror: "m"}.tell(news{name: "m", snap: state("main=1 b=2")}, time.Unix(1, 0).UTC(), "id")
	if err != nil {
		f.Fatal(err)
	}
	l.Told.Refs[0].Name += "\xff"
	text, err := l.bytes()
	if err != nil {
		f.Fatal(err)
	}
	if again, err := parseLedger(text); err != nil || !reflect.DeepEqual(again, l) {
		f.Fatalf("%v: %+v became %+v", err, l, again)
	}
	f.Add(text)
	f.Add(text[:len(text)-1])
	f.Add([]byte(`{"mirror":"m","refs":1}` + "\nx y\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := parseLedger(text)
		if err != nil {
			return
		}
		written, err := l.bytes()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseLedger(written)
		if err != nil || l.Mirror != again.Mirror || !slices.Equal(l.Told.Refs, again.Told.Refs) || (l.Delivery == nil) != (again.Delivery == nil) {
			t.Fatalf("%v: %q became %q", err, text, written)
		}
		if second, err := again.bytes(); err != nil || !bytes.Equal(written, second) {
			t.Fatalf("%v: %q became %q", err, written, second)
		}
	})
}
