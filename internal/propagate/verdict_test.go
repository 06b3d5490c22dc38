package propagate

import (
	"testing"

	"github.com/reconquest/sould/internal/protocol"
)

func TestVerdict(t *testing.T) {
	states := map[byte]protocol.State{
		'+': protocol.Success, '-': protocol.Failed, '.': protocol.Processing, 'e': protocol.Elsewhere, '~': protocol.Failed,
	}
	for _, c := range []struct {
		servers string // the first is the one that answers
		want    int
	}{
		{"+", 200}, {"-", 500}, {".", 202},
		{"++", 200}, {"+++", 200},
		{"-+", 500}, {"-++", 500},
		{"+-", 502}, {"+--", 502}, {"++-", 502}, {"-+-", 502},
		{"--", 503}, {"---", 503},
		{"+e", 200}, {"+e+", 200}, {"-e", 500}, {"-e+", 500}, {"-e-", 503}, {"+e-", 502}, {".e", 202}, {"+e.", 202}, // told elsewhere
		{"-~", 502}, {"+~", 502}, {"-~-", 502}, // it has pulled, and one below it has not
		{".+", 202}, {"+.", 202}, {"-.", 202}, {"+-.", 202}, {".--", 202},
	} {
		var all []protocol.Outcome
		for i := range c.servers {
			all = append(all, protocol.Outcome{State: states[c.servers[i]], SomePulled: c.servers[i] == '~'})
		}
		all[0].Slaves = all[1:]
		if got := verdict(all[0]); got != c.want {
			t.Errorf("verdict(%s) = %d, want %d", c.servers, got, c.want)
		}
	}
}

func TestBound(t *testing.T) {
	for slaves, want := range map[int]int{0: maxPropagations, 5: maxPropagations, 31: 1024, 1000: 32, 100_000: leastPropagations} {
		if got := Places(slaves); got != want {
			t.Errorf("%d slaves: %d at once", slaves, got)
		}
	}
}
