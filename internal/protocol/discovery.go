package protocol

import (
	"fmt"
	"maps"
	"slices"

	"github.com/reconquest/sould/internal/errtext"
)

// Discovery is what a table of the configuration ([[discover]]) has found. Only a client is told.
type Discovery struct {
	Table   string         `json:"table" toml:"table"`
	Date    int64          `json:"date,omitempty" toml:"date,omitzero"` // of the latest round whose listing was whole, in Unix seconds
	Found   int            `json:"found" toml:"found"`                  // repositories that the forge listed then
	Wanted  int            `json:"wanted" toml:"wanted"`                // of them, those that are to have a mirror
	LeftOut map[string]int `json:"left_out,omitempty" toml:"left_out,omitempty"`
	Made    uint64         `json:"made" toml:"made"`                          // mirrors, since the server was started
	Moved   uint64         `json:"moved" toml:"moved"`                        // mirrors that follow a renamed repository, since then
	Failed  int            `json:"failed" toml:"failed"`                      // mirrors that could not be made or moved in that round
	Gone    int            `json:"gone" toml:"gone"`                          // mirrors whose repositories are gone from the forge
	Error   string         `json:"error,omitempty" toml:"error,omitempty"`    // of the latest listing, one line
	Failing int64          `json:"failing,omitempty" toml:"failing,omitzero"` // since when listings fail, in Unix seconds
}

// branches has the lines below a table's name.
func (d *Discovery) branches() []errtext.Branch {
	var all []errtext.Branch
	if d.Date != 0 {
		all = append(all, leaf("date", statusDate(d.Date)),
			errtext.Branch{Text: fmt.Sprintf("repositories: %d found, %d wanted, %d failed, %d gone", d.Found, d.Wanted, d.Failed, d.Gone)},
			errtext.Branch{Text: fmt.Sprintf("mirrors: %d made, %d moved", d.Made, d.Moved)})
	}
	if len(d.LeftOut) > 0 {
		out := errtext.Branch{Text: "left_out"}
		for _, why := range slices.Sorted(maps.Keys(d.LeftOut)) {
			out.Below = append(out.Below, leaf(why, fmt.Sprint(d.LeftOut[why])))
		}
		all = append(all, out)
	}
	if d.Error != "" {
		all = append(all, leaf("error", d.Error), leaf("failing", "since "+statusDate(d.Failing)))
	}
	return all
}
