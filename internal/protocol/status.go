package protocol

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
)

// Status is the status of a server, or the error for a server that could not be asked.
type Status struct {
	Address string `json:"address,omitempty" toml:"address,omitempty"` // in its master's configuration; empty for the server that answers
	Role    string `json:"role,omitempty" toml:"role,omitempty"`
	Total   int    `json:"total" toml:"total"` // number of mirrors
	ID      string `json:"id,omitempty" toml:"id,omitempty"`
	Version string `json:"version,omitempty" toml:"version,omitempty"`

	// Patterns are the refs that its mirrors contain (the key refs). Fingerprints of servers with
	// different patterns cannot be compared.
	Patterns []string `json:"patterns,omitempty" toml:"patterns,omitempty"`

	// Loading says that the server still reads its storage: mirrors may be missing, or listed as
	// unknown.
	Loading bool `json:"loading,omitempty" toml:"loading,omitempty"`

	// Cursor stands for this moment. A client that sends it back is told of what has changed since: then
	// Mirrors are those, and Removed are the names of those that are gone. Full says that all are told,
	// because what has changed is not known.
	Cursor  string   `json:"cursor,omitempty" toml:"cursor,omitempty"`
	Full    bool     `json:"full,omitempty" toml:"full,omitempty"`
	Removed []string `json:"removed,omitempty" toml:"removed,omitempty"`

	Error             string `json:"error,omitempty" toml:"error,omitempty"` // one line
	HierarchicalError string `json:"hierarchical_error,omitempty" toml:"hierarchical_error,omitempty"`

	Served // only for a client

	Discovery []Discovery `json:"discovery,omitempty" toml:"discovery,omitempty"`

	Mirrors  []Mirror  `json:"mirrors,omitempty" toml:"mirrors,omitempty"`   // sorted by name
	Upstream *Upstream `json:"upstream,omitempty" toml:"upstream,omitempty"` // of a master
}

// Served is what a server tells of what it has made for clients.
type Served struct {
	Packs    *Packs    `json:"packs,omitempty" toml:"packs,omitempty"`
	Archives *Archives `json:"archives,omitempty" toml:"archives,omitempty"`
}

// Archives counts the archives that clients have asked for since the server was started.
type Archives struct {
	Hits   uint64 `json:"hits" toml:"hits"`     // which were there, or were being made
	Misses uint64 `json:"misses" toml:"misses"` // which had to be made
}

// Packs counts the answers to clones and fetches since the server was started.
type Packs struct {
	Made   uint64 `json:"made" toml:"made"`     // by git, for a client
	Shared uint64 `json:"shared" toml:"shared"` // which had been made for another client, or ahead
	Kept   uint64 `json:"kept" toml:"kept"`     // which were put into the cache
}

// Mirror is the status of a mirror.
type Mirror struct {
	Name        string `json:"name" toml:"name"`
	State       State  `json:"state" toml:"state"`
	ModifyDate  int64  `json:"modify_date,omitempty" toml:"modify_date,omitzero"`               // of the latest successful pull, in Unix seconds
	Nanoseconds int64  `json:"modify_nanoseconds,omitempty" toml:"modify_nanoseconds,omitzero"` // the rest of ModifyDate
	Origin      string `json:"origin,omitempty" toml:"origin,omitempty"`                        // without credentials
	Branch      string `json:"branch,omitempty" toml:"branch,omitempty"`                        // the default one, as a full ref name
	Revision    string `json:"revision,omitempty" toml:"revision,omitempty"`                    // its commit
	Fingerprint string `json:"fingerprint,omitempty" toml:"fingerprint,omitempty"`
	Refs        int    `json:"refs" toml:"refs"`                        // how many
	From        string `json:"from,omitempty" toml:"from,omitempty"`    // what it was pulled from: "origin" or a peer's address
	Error       string `json:"error,omitempty" toml:"error,omitempty"`  // of the latest pull, one line
	Wanted      int64  `json:"wanted,omitempty" toml:"wanted,omitzero"` // when somebody last asked for it on any server, in Unix nanoseconds

	Checked    int64        `json:"checked,omitempty" toml:"checked,omitzero"`                     // when all its objects were last read, in Unix seconds
	CheckError string       `json:"check_error,omitempty" toml:"check_error,omitempty"`            // what was damaged then, one line
	Mended     int64        `json:"mended,omitempty" toml:"mended,omitzero"`                       // when it was last rebuilt because it was damaged, in Unix seconds
	OnDemand   bool         `json:"on_demand,omitempty" toml:"on_demand,omitempty"`                // a read has made it: it is this server's alone
	LastRead   int64        `json:"last_read,omitempty" toml:"last_read,omitzero"`                 // the hour in which somebody read one made on demand last, in Unix seconds; only for a client
	TooLarge   bool         `json:"too_large,omitempty" toml:"too_large,omitempty"`                // it is larger than max_size, and the next to go; only for a client
	Gone       int64        `json:"gone,omitempty" toml:"gone,omitzero"`                           // when its origin was deleted, as gone_by says, in Unix seconds
	GoneBy     string       `json:"gone_by,omitempty" toml:"gone_by,omitempty"`                    // such as "the webhook github"
	HookBroken int64        `json:"hook_broken_since,omitempty" toml:"hook_broken_since,omitzero"` // since when changes come unannounced, in Unix seconds
	Shallow    bool         `json:"shallow,omitempty" toml:"shallow,omitempty"`                    // a part of the history is missing; the origin may lack it too
	Warnings   git.Warnings `json:"warnings,omitempty" toml:"warnings,omitempty"`                  // about odd objects that are mirrored all the same
	Pull       *Progress    `json:"pull,omitempty" toml:"pull,omitempty"`                          // the one that is running; not for servers that only compare mirrors
	Kept       []Retained   `json:"kept,omitempty" toml:"kept,omitempty"`                          // only if a client asked for this mirror alone
}

// Retained is a ref that the origin has replaced or deleted, and the commit that it had.
type Retained struct {
	Ref    string `json:"ref" toml:"ref"`
	Commit string `json:"commit" toml:"commit"`
	Date   int64  `json:"date" toml:"date"` // when a pull found that, in Unix seconds
}

// Upstream is the status of a master's slaves.
type Upstream struct {
	Total          int      `json:"total" toml:"total"`
	Error          int      `json:"error" toml:"error"` // how many could not be asked, or sent no valid status
	ErrorPercent   float64  `json:"error_percent" toml:"error_percent"`
	Failed         int      `json:"failed" toml:"failed"` // how many could be asked, and have a mirror that failed
	FailedPercent  float64  `json:"failed_percent" toml:"failed_percent"`
	Success        int      `json:"success" toml:"success"` // how many have none
	SuccessPercent float64  `json:"success_percent" toml:"success_percent"`
	Slaves         []Status `json:"slaves" toml:"slaves"`
}

// Unknown is the state of a mirror that sould has never pulled, or has not read yet.
const Unknown State = "unknown"

// FromOrigin is the From of a mirror that was not pulled from a peer.
const FromOrigin = "origin"

// WantedAt is when somebody last asked for the mirror; zero for never.
func (m *Mirror) WantedAt() time.Time {
	if m.Wanted == 0 {
		return time.Time{}
	}
	return time.Unix(0, m.Wanted)
}

// PulledAt is when the mirror was last pulled; zero for never.
func (m *Mirror) PulledAt() time.Time {
	if m.ModifyDate == 0 {
		return time.Time{}
	}
	return time.Unix(m.ModifyDate, m.Nanoseconds)
}

// FailedStatus is the status of a server that could not be asked.
func FailedStatus(address Address, err error) Status {
	return Status{Address: address.String(), Error: errtext.Line(err.Error()), HierarchicalError: errtext.Tree(err)}
}

// NewUpstream counts the slaves that could not be asked, those with a mirror that failed, and the
// others.
func NewUpstream(slaves []Status) *Upstream {
	u := &Upstream{Total: len(slaves), Slaves: slaves}
	for i := range slaves {
		switch {
		case slaves[i].Error != "":
			u.Error++
		case slices.ContainsFunc(slaves[i].Mirrors, func(m Mirror) bool { return m.State == Failed }):
			u.Failed++
		default:
			u.Success++
		}
	}
	u.ErrorPercent, u.FailedPercent, u.SuccessPercent = percent(u.Error, u.Total), percent(u.Failed, u.Total), percent(u.Success, u.Total)
	return u
}

// percent returns n of total in percent, rounded to two digits after the point.
func percent(n, total int) float64 {
	return math.Round(10000*float64(n)/float64(max(total, 1))) / 100
}

// String renders the status as a tree for people.
//
//	status
//	├─ role: slave
//	├─ total: 1
//	└─ mirrors
//	   └─ pool/x
//	      └─ state: success
func (d *Status) String() string {
	return errtext.Branch{Text: "status", Below: d.branches()}.String() + "\n"
}

// branches has the lines below a server's name. Ids and versions are for programs, and left out.
func (d *Status) branches() []errtext.Branch {
	var all []errtext.Branch
	if d.Role != "" {
		all = append(all, leaf("role", d.Role), leaf("total", strconv.Itoa(d.Total)))
	}
	if d.Packs != nil {
		all = append(all, leaf("packs", fmt.Sprintf("%d made, %d shared, %d kept", d.Packs.Made, d.Packs.Shared, d.Packs.Kept)))
	}
	if d.Archives != nil {
		all = append(all, leaf("archives", fmt.Sprintf("%d hit, %d missed", d.Archives.Hits, d.Archives.Misses)))
	}
	if len(d.Discovery) > 0 {
		tables := errtext.Branch{Text: "discovery"}
		for i := range d.Discovery {
			tables.Below = append(tables.Below, errtext.Branch{Text: d.Discovery[i].Table, Below: d.Discovery[i].branches()})
		}
		all = append(all, tables)
	}
	if d.Loading {
		all = append(all, errtext.Branch{Text: "loading: the storage is being read"})
	}
	if d.Error != "" {
		reason := d.HierarchicalError
		if reason == "" {
			reason = d.Error
		}
		all = append(all, errtext.Branch{Text: "error", Below: []errtext.Branch{{Text: reason}}})
	}
	if len(d.Mirrors) > 0 {
		mirrors := errtext.Branch{Text: "mirrors", Below: make([]errtext.Branch, len(d.Mirrors))}
		for i := range d.Mirrors {
			mirrors.Below[i] = errtext.Branch{Text: d.Mirrors[i].Name, Below: d.Mirrors[i].branches(d.Address == "" && d.Mirrors[i].State == Failed)}
		}
		all = append(all, mirrors)
	}
	if len(d.Removed) > 0 {
		removed := errtext.Branch{Text: "removed"}
		for _, name := range d.Removed {
			removed.Below = append(removed.Below, errtext.Branch{Text: name})
		}
		all = append(all, removed)
	}
	if u := d.Upstream; u != nil {
		upstream := errtext.Branch{Text: "upstream", Below: []errtext.Branch{
			leaf("total", strconv.Itoa(u.Total)),
			{Text: fmt.Sprintf("success: %d (%.2f%%)", u.Success, u.SuccessPercent)},
			{Text: fmt.Sprintf("failed: %d (%.2f%%)", u.Failed, u.FailedPercent)},
			{Text: fmt.Sprintf("error: %d (%.2f%%)", u.Error, u.ErrorPercent)},
		}}
		if len(u.Slaves) > 0 {
			slaves := errtext.Branch{Text: "slaves"}
			for i := range u.Slaves {
				slaves.Below = append(slaves.Below, errtext.Branch{Text: u.Slaves[i].Address, Below: u.Slaves[i].branches()})
			}
			upstream.Below = append(upstream.Below, slaves)
		}
		all = append(all, upstream)
	}
	return all
}

// branches has the lines below a mirror's name; why adds where a failure is explained.
func (m *Mirror) branches(why bool) []errtext.Branch {
	all := make([]errtext.Branch, 0, 10)
	add := func(key, value string) {
		if value != "" {
			all = append(all, leaf(key, value))
		}
	}
	add("state", string(m.State))
	addDate := func(key string, seconds int64) {
		if seconds != 0 {
			add(key, statusDate(seconds))
		}
	}
	if m.Pull != nil {
		all = append(all, errtext.Branch{Text: "pull", Below: m.Pull.branches()})
	}
	addDate("modify_date", m.ModifyDate)
	add("origin", m.Origin)
	add("branch", m.Branch)
	add("revision", m.Revision)
	add("fingerprint", m.Fingerprint)
	add("refs", strconv.Itoa(m.Refs))
	add("from", m.From)
	add("error", m.Error)
	if why {
		add("why", "/x/why/"+m.Name)
	}
	addDate("hook_broken_since", m.HookBroken)
	addDate("checked", m.Checked)
	add("check_error", m.CheckError)
	addDate("mended", m.Mended)
	addDate("gone", m.Gone)
	add("gone_by", m.GoneBy)
	if m.OnDemand {
		add("on_demand", "true")
	}
	addDate("last_read", m.LastRead)
	if m.TooLarge {
		add("too_large", "true")
	}
	if m.Shallow {
		add("shallow", "true")
	}
	if len(m.Warnings) > 0 {
		warnings := errtext.Branch{Text: "warnings"}
		for _, w := range m.Warnings {
			warnings.Below = append(warnings.Below, leaf(w.ID, fmt.Sprintf("%d, such as %s", w.Count, w.Object)))
		}
		all = append(all, warnings)
	}
	if len(m.Kept) > 0 {
		kept := errtext.Branch{Text: "kept"}
		for _, k := range m.Kept {
			kept.Below = append(kept.Below, leaf(k.Ref, k.Commit+", lost "+statusDate(k.Date)))
		}
		all = append(all, kept)
	}
	return all
}

func (p *Progress) branches() []errtext.Branch {
	all := []errtext.Branch{leaf("progress", p.Words)}
	if p.From != "" {
		all = append(all, leaf("from", p.From))
	}
	return append(all, leaf("since", statusDate(p.Since)))
}

// statusDate formats a time in Unix seconds for people.
func statusDate(seconds int64) string {
	return time.Unix(seconds, 0).UTC().Format("2006-01-02 15:04:05 MST")
}

func leaf(key, value string) errtext.Branch { return errtext.Branch{Text: key + ": " + value} }
