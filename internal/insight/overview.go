package insight

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/discover"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/page"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/why"
)

// Overview returns the page of all mirrors and servers that a query selects. frame has the version
// and what the reader calls this server.
func (i *Insight) Overview(opts *Options, frame page.Frame, q Query, others []cluster.Sight) *page.Overview {
	frame.Role, frame.Release, frame.Token = opts.Role, opts.Release, opts.Token
	o := &page.Overview{Frame: frame, Text: q.Text, State: q.State, Sort: q.Sort, Loading: !i.Store.IsReady()}
	if err := i.Store.CheckStorage(); err != nil {
		o.Fault = line(err.Error())
	}
	standings := make([]standing, len(others))
	all := i.entries(others, standings)
	o.Servers = servers(frame, o.Fault, len(all), others, standings)
	o.Counts = counts(q, all)
	addChoices(o, q)
	addServersInTrouble(o, others)
	addDiscoveries(o, i.Discovery.Stats())
	addAttention(o, all)
	addRows(o, q, q.choose(all))
	return o
}

// standing counts how the mirrors of another server stand to those here.
type standing struct{ behind, ahead, more int }

// entries returns all mirrors with their states, and counts how other servers stand.
func (i *Insight) entries(others []cluster.Sight, standings []standing) []entry {
	running, mirrors := i.Store.Running(), i.Store.All()
	all := make([]entry, 0, len(mirrors))
	here := make(map[string]bool) // filled only if others may have more
	for _, m := range mirrors {
		e := entry{m: m, snap: m.Snapshot()}
		if len(others) > 0 {
			here[m.Name.String()] = true
		}
		for n := range others {
			relation := cluster.Unasked
			if e.snap != nil {
				relation, _ = others[n].Relation(m.Name, e.snap, running[m.Name] != nil, time.Time{})
			}
			switch {
			case relation == cluster.Ahead:
				standings[n].ahead++
			case others[n].Slave && !e.pulled().IsZero() && (relation == cluster.Behind || relation == cluster.Missing):
				standings[n].behind++
				e.behind = append(e.behind, others[n].Address.String())
			}
		}
		e.state = e.judge(running[m.Name] != nil)
		all = append(all, e)
	}
	for n := range others {
		others[n].Names(func(name string) bool {
			if _, err := storage.ParseName(name); err == nil && !here[name] {
				standings[n].more++
			}
			return true
		})
	}
	return all
}

// judge returns the state of a mirror, as an index in states.
func (e entry) judge(running bool) int {
	name := "ok"
	switch {
	case e.snap == nil && e.m.Unreadable() != "", e.m.Damage() != nil, e.snap != nil && e.snap.Outcome == mirror.Failed:
		name = "failing"
	case running || e.snap == nil:
		name = "updating"
	case e.snap.Outcome != mirror.Success:
		name = "never"
	case len(e.behind) > 0:
		name = "behind"
	case !e.snap.Hook.BrokenSince().IsZero():
		name = "hook"
	}
	return slices.IndexFunc(states, func(s state) bool { return s.name == name })
}

// problem says what is wrong with a mirror, and since when; both may be empty.
func (e entry) problem() (words string, since time.Time) {
	damage := e.m.Damage()
	switch {
	case e.snap == nil:
		return e.m.Unreadable(), since
	case damage != nil:
		return "it is damaged: " + damage.Error(), e.snap.Checked
	case !e.snap.Gone.IsZero():
		return "its origin was deleted, as " + e.snap.GoneBy + " says", e.snap.Gone
	case e.snap.Outcome == mirror.Failed:
		return e.snap.LastError, e.snap.Failing
	case len(e.behind) > 0:
		return "behind on " + strings.Join(e.behind, ", "), since
	case !e.snap.Hook.BrokenSince().IsZero():
		return "its hook seems broken: the poll finds changes that nobody has announced", e.snap.Hook.BrokenSince()
	case len(e.snap.Refs) == 0 && e.snap.Outcome == mirror.Success:
		return "empty, as its origin is", since
	default:
		return "", since
	}
}

// counts counts all mirrors by state.
func counts(q Query, all []entry) []page.Count {
	by := make([]int, len(states))
	for _, e := range all {
		by[e.state]++
	}
	label := "mirrors in all"
	if len(all) == 1 {
		label = "mirror in all"
	}
	list := []page.Count{{Label: label, N: len(all), Level: why.None, Link: "/", Current: q.State == "" && q.Text == ""}}
	for n, s := range states {
		level := s.level
		if by[n] == 0 {
			level = why.None
		}
		list = append(list, page.Count{Label: s.label, N: by[n], Level: level, Link: link("/", "state", s.name), Current: q.State == s.name})
	}
	return list
}

// addChoices adds what the search form offers.
func addChoices(o *page.Overview, q Query) {
	o.States = append(o.States, page.Choice{Label: "any", Current: q.State == ""})
	for _, s := range states {
		o.States = append(o.States, page.Choice{Value: s.name, Label: s.label, Current: q.State == s.name})
	}
	for _, order := range orders {
		order.Current = order.Value == q.Sort
		o.Sorts = append(o.Sorts, order)
	}
}

// Bounds of words in the overview, in bytes.
const (
	maxNote     = 160 // below a state in the table
	maxWords    = 400 // of what needs attention
	maxRowName  = 160 // a mirror's name
	maxRowWords = 60  // a branch
)

// maxDiscoveries is how many tables of discovery the overview shows.
const maxDiscoveries = 20

// addServersInTrouble adds the other servers that cannot be asked, or say that they are in trouble. The
// fault of this server stands above all.
func addServersInTrouble(o *page.Overview, others []cluster.Sight) {
	const link = "#servers-title"
	n := 0
	for _, s := range others {
		one := server(s, standing{})
		if one.Level != why.Bad {
			continue
		}
		if n++; n <= maxAttention {
			o.Attention = append(o.Attention, page.Attention{
				Name: one.Kind + " " + one.Address, Link: link, Level: why.Bad, Words: one.State + ": " + one.Detail, Since: one.Since,
			})
		}
	}
	if n > maxAttention {
		o.Attention = append(o.Attention, page.Attention{Name: fmt.Sprintf("and %d more", n-maxAttention), Link: link, Level: why.Bad, Words: "servers, which are named below"})
	}
}

// addDiscoveries adds what the tables of discovery have found, and those that have failed.
func addDiscoveries(o *page.Overview, all []discover.Stats) {
	for _, s := range all[:min(len(all), maxDiscoveries)] {
		one := page.Discovery{Table: errtext.Clip(s.Table, maxRowName), Level: why.Good, State: "listed", Done: s.Done, Found: s.Found, Wanted: s.Wanted, Failed: s.Failed, Gone: s.Gone}
		switch {
		case s.Error != "":
			one.Level, one.State = why.Warn, "can't be listed"
			o.Attention = append(o.Attention, page.Attention{
				Name: "discovery of " + one.Table, Link: "#discovery-title", Level: why.Warn,
				Words: errtext.Clip(errtext.Line(s.Error), maxWords), Since: s.Failing,
			})
		case s.Done.IsZero():
			one.Level, one.State = why.Work, "not listed yet"
		}
		o.Discoveries = append(o.Discoveries, one)
	}
}

// addAttention adds the mirrors that fail, and then those whose hook seems broken, of each those that
// have done so the longest first.
func addAttention(o *page.Overview, all []entry) {
	var bad []entry
	for _, e := range all {
		if s := states[e.state]; s.level == why.Bad || s.name == "hook" {
			bad = append(bad, e)
		}
	}
	slices.SortStableFunc(bad, func(a, b entry) int {
		if a.state != b.state {
			return cmp.Compare(a.state, b.state)
		}
		_, first := a.problem()
		_, second := b.problem()
		if first.IsZero() != second.IsZero() { // since when is not known: last
			return second.Compare(first)
		}
		return first.Compare(second)
	})
	for _, e := range bad[:min(len(bad), maxAttention)] {
		words, since := e.problem()
		o.Attention = append(o.Attention, page.Attention{
			Name: errtext.Clip(e.m.Name.String(), maxRowName), Link: MirrorPath(e.m.Name), Level: states[e.state].level,
			Words: errtext.Clip(errtext.Line(words), maxWords), Since: since,
		})
	}
	if o.More = max(len(bad)-maxAttention, 0); o.More > 0 {
		o.MoreLink = link("/", "state", states[bad[maxAttention].state].name)
	}
}

// addRows adds the rows that fit.
func addRows(o *page.Overview, q Query, chosen []entry) {
	o.Total = len(chosen)
	from := min(q.From, max(o.Total-1, 0))
	left := room{maxRoom}
	for _, e := range chosen[min(from, o.Total):] {
		row := e.row()
		if len(o.Rows) == maxRows || !left.take(row.Name, row.Link, row.Note, row.Branch, row.Revision) {
			break
		}
		o.Rows = append(o.Rows, row)
	}
	o.From, o.To = from+1, from+len(o.Rows)
	if from > 0 {
		o.Previous = q.with(max(from-maxRows, 0))
	}
	if o.To < o.Total {
		o.Next = q.with(o.To)
	}
}

// row is the mirror's row in the table.
func (e entry) row() page.Row {
	words, _ := e.problem()
	r := page.Row{
		Name: errtext.Clip(e.m.Name.String(), maxRowName), Link: MirrorPath(e.m.Name),
		Level: states[e.state].level, State: states[e.state].label, Note: errtext.Clip(errtext.Line(words), maxNote),
	}
	if e.snap != nil {
		branch := strings.TrimPrefix(e.snap.Head.Ref, "refs/heads/")
		r.Branch, r.Revision = errtext.Clip(errtext.Clean(branch), maxRowWords), shortID(e.snap.Head.ID)
		r.Refs, r.Pulled = len(e.snap.Refs), e.snap.Pulled
	}
	return r
}

// MirrorPath is the path of a mirror's page.
func MirrorPath(name storage.Name) string { return link("/x/mirror/" + name.String()) }

func shortID(id string) string { return id[:min(len(id), 12)] }

// servers returns this server and all others.
func servers(frame page.Frame, fault string, mirrors int, others []cluster.Sight, standings []standing) []page.Server {
	here := page.Server{Address: frame.Server, Kind: "this server", Level: why.Good, State: "serves", Mirrors: mirrors}
	if fault != "" {
		here.Level, here.State, here.Detail = why.Bad, "no storage", fault
	}
	list := []page.Server{here}
	for n, s := range others {
		if n == maxServers {
			list = append(list, page.Server{Address: fmt.Sprintf("and %d more", len(others)-n), Level: why.None, State: "not shown", Mirrors: -1})
			break
		}
		list = append(list, server(s, standings[n]))
	}
	return list
}

// server is what the overview tells of another server.
func server(s cluster.Sight, n standing) page.Server {
	one := page.Server{Address: errtext.Clip(s.Address.String(), maxRowName), Kind: "peer", Mirrors: -1}
	if s.Slave {
		one.Kind = "slave"
	}
	switch {
	case s.Fault != "":
		one.Level, one.State, one.Detail, one.Since = why.Bad, "no status", errtext.Clip(s.Fault, maxNote), s.Failing
		return one
	case s.Doc == nil:
		one.Level, one.State = why.None, "being asked"
		return one
	case s.Doc.Error != "":
		one.Level, one.State, one.Detail = why.Bad, "in trouble", errtext.Clip(errtext.Line(s.Doc.Error), maxNote)
		return one
	}
	one.Mirrors = len(s.Doc.Mirrors)
	one.Level, one.State = why.Good, "equal"
	var details []string
	add := func(count int, level why.Level, state, words string) {
		if count > 0 {
			one.Level, one.State = level, state
			details = append(details, fmt.Sprintf("%d %s", count, words))
		}
	}
	add(n.more, why.Work, "has more", "not here")
	add(n.ahead, why.Work, "ahead", "newer there")
	add(n.behind, why.Warn, "behind", "missing or older there")
	if s.Doc.Loading {
		one.Level, one.State = why.Work, "starting"
	}
	one.Detail = strings.Join(details, ", ")
	return one
}
