package cluster

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reconquest/sould/internal/protocol"
)

// TestLag follows a server through a life: from when on it lags, and until when.
func TestLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &comparison{began: time.Now()}
		expect := func(what string, want Comparison) {
			t.Helper()
			if got := c.at(time.Now()); got != want {
				t.Errorf("%s: got\n%+v\nwant\n%+v", what, got, want)
			}
		}
		time.Sleep(time.Minute)
		expect("never compared", Comparison{Lag: time.Minute})
		c.found(time.Now(), 2, 0, 1)
		expect("different from the beginning", Comparison{Reachable: true, Lag: time.Minute, Behind: 2, Missing: 1})
		c.tried(nil)
		time.Sleep(time.Minute)
		c.same(time.Now())
		expect("equal", Comparison{Reachable: true, Repaired: 1})
		time.Sleep(time.Hour)
		expect("equal since the latest comparison", Comparison{Reachable: true, Repaired: 1})
		c.failed()
		expect("gone", Comparison{Lag: time.Hour, Repaired: 1})
		time.Sleep(time.Hour)
		c.found(time.Now(), 0, 1, 0)
		c.tried(errLate)
		expect("back, and different", Comparison{Reachable: true, Lag: 2 * time.Hour, Ahead: 1, Repaired: 1, Unrepaired: 1})
		c.failed()
		expect("what was found stays", Comparison{Lag: 2 * time.Hour, Ahead: 1, Repaired: 1, Unrepaired: 1})
	})
}

func TestPropagationsAreCountedBySlave(t *testing.T) {
	address := func(raw string) protocol.Address {
		a, err := protocol.ParseAddress(raw)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a, b, twice := address("a"), address("b:81"), address("http://A:80") // the same as a
	client := NewClient("self", "instance", slog.New(slog.DiscardHandler), &Options{Slaves: []protocol.Address{a, b, twice}, MaxConns: 1})
	p := &client.propagations
	p.record(a, protocol.Success, time.Second)
	p.record(twice, protocol.Failed, time.Second)
	p.record(b, protocol.Processing, time.Second)
	p.record(b, protocol.Elsewhere, time.Second)
	p.record(address("unknown"), protocol.Success, time.Second)
	all := client.Propagations()
	if len(all) != 2 || all[0].Slave != a || all[1].Slave != b {
		t.Fatalf("%+v", all)
	}
	if all[0].Success.Count != 1 || all[0].Failed.Count != 1 || all[0].Unfinished.Count != 0 ||
		all[1].Success.Count != 0 || all[1].Failed.Count != 0 || all[1].Unfinished.Count != 2 {
		t.Errorf("%+v", all)
	}
	client.Configure(&Options{Slaves: []protocol.Address{b, address("c")}, MaxConns: 1})
	all = client.Propagations()
	if len(all) != 2 || !all[0].Slave.Same(b) || all[0].Unfinished.Count != 2 || all[1].Unfinished.Count != 0 {
		t.Errorf("after a reload: %+v", all)
	}
}
