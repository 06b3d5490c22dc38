package cluster

import (
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/refs"
)

func TestCopies(t *testing.T) {
	doc := func(address string, mirrors []string, below ...protocol.Status) protocol.Status {
		d := protocol.Status{Address: address}
		for _, name := range mirrors {
			d.Mirrors = append(d.Mirrors, protocol.Mirror{Name: name, Fingerprint: "f-" + address})
		}
		if len(below) > 0 {
			d.Upstream = protocol.NewUpstream(below)
		}
		return d
	}
	other := doc("o", []string{"m"})
	other.Patterns = []string{"refs/heads/*"}
	for _, c := range []struct {
		docs []protocol.Status
		want string // servers, or the error
	}{
		{nil, ""},
		{[]protocol.Status{doc("a", []string{"m"}), doc("b", []string{"x", "m"})}, "a b"},
		{[]protocol.Status{doc("a", []string{"m"}, doc("c", []string{"m"})), doc("b", []string{"m"})}, "a a/c b"},
		{[]protocol.Status{doc("a", []string{"m"}), {Address: "b", Error: "no answer"}}, "b: no answer"},
		{[]protocol.Status{doc("a", []string{"x"})}, "a has no such mirror"},
		{[]protocol.Status{doc("a", []string{"m"}, protocol.Status{Address: "c", Error: "no answer"})}, "a/c: no answer"},
		{[]protocol.Status{other}, "o*"},
	} {
		all, err := copiesIn("", c.docs, "m", refs.DefaultPatterns(), nil)
		var words []string
		for _, one := range all {
			word := one.Server
			if one.OtherRefs {
				word += "*"
			}
			words = append(words, word)
		}
		got := strings.Join(words, " ")
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
