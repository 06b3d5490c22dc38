package status

import (
	"github.com/reconquest/sould/internal/discover"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/protocol"
)

// discoveries are what the tables have found. runner may be nil.
func discoveries(runner *discover.Runner) (all []protocol.Discovery) {
	for _, s := range runner.Stats() {
		one := protocol.Discovery{
			Table: s.Table, Found: s.Found, Wanted: s.Wanted, Made: s.Made, Moved: s.Moved, Failed: s.Failed, Gone: s.Gone,
			Error: errtext.Line(s.Error),
		}
		if !s.Done.IsZero() {
			one.Date = s.Done.Unix()
		}
		if !s.Failing.IsZero() {
			one.Failing = s.Failing.Unix()
		}
		if len(s.LeftOut) > 0 {
			one.LeftOut = make(map[string]int, len(s.LeftOut))
			for why, n := range s.LeftOut {
				one.LeftOut[string(why)] = n
			}
		}
		all = append(all, one)
	}
	return all
}
