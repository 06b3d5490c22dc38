package insight

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/why"
)

// Facts returns what is known of a mirror, or of a name that no mirror has. base is the URL of this
// server as the reader calls it. others is what is known of the other servers.
func (i *Insight) Facts(opts *Options, base string, name storage.Name, others []cluster.Sight, now time.Time) why.Facts {
	f := why.Facts{
		Now: now, Name: name.String(), Base: base,
		Loading: !i.Store.IsReady(), Keep: opts.Keep, CheckEvery: opts.Check, Repair: opts.Repair, Token: opts.Token,
	}
	if err := i.Store.CheckStorage(); err != nil {
		f.Storage = line(err.Error())
	}
	for _, run := range i.Store.Pulling(name) {
		f.Runs = append(f.Runs, why.Run{Began: run.Began(), Doing: line(run.String())})
	}
	m, err := i.Store.Get(name)
	var snap *mirror.Snapshot
	switch {
	case err == nil:
		f.Exists, snap = true, m.Snapshot()
		i.addMirror(&f, m)
	case !errors.Is(err, mirror.ErrUnknown):
		f.Exists, f.Unreadable, snap = true, line(err.Error()), i.Store.LastKnown(name)
	}
	if snap != nil {
		addSnapshot(&f, opts, snap)
		f.LeftAlone = i.Store.PausedUntil(snap.Origin.Host())
	}
	if f.Storage == "" && !f.Exists {
		if t, err := i.Dir.Tombstone(name); err == nil {
			f.Deleted, f.Origin = t.At, shown(t.Origin)
		}
	}
	if opts.OnRead != nil && !f.Exists {
		if from, ok := opts.OnRead(name); ok {
			f.OnRead, f.Origin = true, originOf(from)
		}
	}
	i.addJournal(&f, name)
	i.addTold(&f, name)
	i.addDemand(&f, name)
	if !f.Exists || f.Unreadable != "" {
		snap = nil // others have it, and this server as good as not
	}
	f.Slave = opts.Role == "slave" && i.isTold(f.Asked)
	for _, s := range others {
		f.Servers = append(f.Servers, i.server(s, name, snap, len(f.Runs) > 0, f.Deleted))
	}
	return f
}

// Knows reports whether there is more to tell of a name than that a request for it was refused.
func (i *Insight) Knows(name storage.Name) bool {
	if _, err := i.Store.Get(name); !errors.Is(err, mirror.ErrUnknown) {
		return true
	}
	if j := i.Store.Journal(name); !j.Asked.At.IsZero() || len(j.Pulls) > 0 || len(i.Store.Pulling(name)) > 0 {
		return true
	}
	_, err := i.Dir.Tombstone(name)
	return err == nil
}

// isTold reports whether another server has passed on the latest request for a mirror or, if there was
// none, that for any other.
func (i *Insight) isTold(asked why.Asking) bool {
	if !asked.At.IsZero() {
		return strings.HasPrefix(asked.By, mirror.ByServer)
	}
	return slices.ContainsFunc(i.Store.All(), func(m *mirror.Mirror) bool {
		snap := m.Snapshot()
		return snap != nil && strings.HasPrefix(snap.WantedBy, mirror.ByServer)
	})
}

// addMirror adds what a loaded mirror tells beside its snapshot.
func (i *Insight) addMirror(f *why.Facts, m *mirror.Mirror) {
	f.Fresh, f.NextTry = m.Pulls()
	if next, ok := m.NextLook(); ok {
		f.NextLook = next
	}
	f.NextPoll, f.PollEvery = i.Poller.Next(m.Name)
	if damage := m.Damage(); damage != nil {
		f.Damage, f.NextRebuild = line(damage.Error()), m.NextRecovery()
	}
}

// addSnapshot adds what a snapshot tells.
func addSnapshot(f *why.Facts, opts *Options, s *mirror.Snapshot) {
	f.Origin = shown(s.Origin.String())
	f.HookBroken = s.Hook.BrokenSince()
	if s.Origin.Known() {
		if err := opts.Origins.Check(s.Origin); err != nil {
			f.OriginRefused = line(err.Error())
		}
	}
	f.Branch, f.Revision, f.Refs, f.Retained = shown(s.Head.Ref), s.Head.ID, len(s.Refs), len(s.Retained)
	f.Shallow = s.Shallow
	f.Gone, f.GoneBy = s.Gone, shown(s.GoneBy)
	for _, w := range s.Warnings {
		f.Warnings = append(f.Warnings, fmt.Sprintf("%s (%d)", w.ID, w.Count))
	}
	f.Outcome, f.Pulled, f.From = why.Outcome(s.Outcome), s.Pulled, shown(s.From)
	if s.Outcome == mirror.Failed {
		f.Failing, f.Error = s.Failing, line(s.LastError)
	}
	f.Checked, f.Rebuilt = s.Checked, s.Rebuilt
	f.Asked = why.Asking{At: s.Wanted, By: s.WantedBy}
	f.Made, f.Own = why.Asking{At: s.Made, By: s.MadeBy}, s.OnDemand
}

// addJournal adds what is remembered of requests, and of a pull that could not make the mirror.
func (i *Insight) addJournal(f *why.Facts, name storage.Name) {
	j := i.Store.Journal(name)
	if !j.Asked.At.Before(f.Asked.At) && !j.Asked.At.IsZero() {
		f.Asked = why.Asking{At: j.Asked.At, By: j.Asked.By}
	}
	f.Refused = why.Asking{At: j.Refused.At, By: j.Refused.By, Words: j.Refused.Words}
	if n := len(j.Pulls); !f.Exists && n > 0 && j.Pulls[n-1].Error != "" && j.Pulls[n-1].Began.After(f.Deleted) {
		f.Outcome, f.Error, f.Failing = why.Failed, line(j.Pulls[n-1].Error), j.Pulls[n-1].First
	}
}

// addTold adds who was told of a mirror that is there.
func (i *Insight) addTold(f *why.Facts, name storage.Name) {
	if !f.Exists {
		return
	}
	told, unconfirmed := i.Notifier.Told(name)
	for _, t := range told {
		f.Told = append(f.Told, why.Telling{URL: shown(t.Target), At: t.At, Since: t.Since, Error: line(t.Fault)})
	}
	f.Untold = unconfirmed
}

// server is another server, as far as one mirror is concerned.
func (i *Insight) server(s cluster.Sight, name storage.Name, ours *mirror.Snapshot, busy bool, removed time.Time) why.Server {
	relation, theirs := s.Relation(name, ours, busy, removed)
	one := why.Server{Address: s.Address.String(), Slave: s.Slave, Relation: why.Relation(relation)}
	one.Next, one.NextTry = i.Reconciler.Next(s.Address, name)
	if theirs != nil {
		one.Revision, one.Pulled = theirs.Revision, theirs.PulledAt()
		if theirs.State == protocol.Failed {
			one.Error = line(theirs.Error)
		}
	}
	if relation == cluster.Unasked {
		one.Since = s.Failing
		if one.Error = s.Fault; s.Doc != nil {
			one.Error = cmp.Or(s.Fault, line(s.Doc.Error))
		}
	}
	return one
}

// maxSentence bounds words from elsewhere in an explanation, in bytes.
const maxSentence = 2 << 10

// line makes words fit for a sentence.
func line(words string) string { return errtext.Clip(errtext.Line(words), maxSentence) }

// maxShown bounds a word from elsewhere, such as the name of a ref, where it is shown, in bytes.
const maxShown = 300

// shown makes a word fit to be shown.
func shown(word string) string { return errtext.Clip(errtext.Clean(word), maxShown) }

// originOf is a mirror's origin without credentials; empty if it is not known.
func originOf(o origin.URL) string {
	if !o.Known() {
		return ""
	}
	return shown(o.String())
}

// addDemand adds what is known of a mirror that a read has made.
func (i *Insight) addDemand(f *why.Facts, name storage.Name) {
	if i.Room == nil {
		return
	}
	fate := i.Room.Fate(name)
	f.Demand = why.Demand{
		Prefix: fate.Rule.Prefix, Made: fate.Kept, Read: fate.Read, Unused: fate.Unused, Idle: fate.Rule.Idle,
		Size: fate.Size, MaxSize: fate.Rule.MaxSize, Over: fate.Over, Used: fate.Used, Quota: fate.Rule.Quota,
		Removed: fate.Removed.At, RemovedWhy: string(fate.Removed.Why), RemovedUnused: fate.Removed.Unused,
	}
}
