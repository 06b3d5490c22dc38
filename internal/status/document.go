package status

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/storage"
)

// self is what this server tells of itself but for mirrors. fault is why its storage cannot
// be used.
func (r *Reporter) self(opts *Options, fault error) *protocol.Status {
	d := &protocol.Status{Role: opts.Role, ID: r.Dir.ID, Version: r.Release}
	if fault != nil {
		fault = fmt.Errorf("can't use the storage: %w", fault)
		d.Error, d.HierarchicalError = errtext.Line(fault.Error()), errtext.Tree(fault)
	}
	for _, p := range opts.Refs {
		d.Patterns = append(d.Patterns, p.String())
	}
	return d
}

// scope is how much of mirrors is told.
type scope struct {
	running  bool // which are being pulled
	progress bool // how far those pulls are
	retained bool // which refs are retained, of one mirror
	reads    bool // when mirrors were read that reads have made
}

// all is what this server tells of itself and of all mirrors, or of some only if these are given.
func (r *Reporter) all(opts *Options, tells scope, only map[storage.Name]bool, fault error) *protocol.Status {
	d := r.self(opts, fault)
	d.Loading = !r.Store.IsReady()
	var running map[storage.Name]*mirror.Progress
	if tells.running {
		running = r.Store.Running()
	}
	all := r.Store.All()
	if d.Total = len(all); only == nil {
		d.Mirrors = make([]protocol.Mirror, 0, len(all)+len(running))
	}
	for _, m := range all {
		d.Loading = d.Loading || m.Snapshot() == nil && m.Unreadable() == ""
		if only != nil && !only[m.Name] {
			delete(running, m.Name)
			continue
		}
		one := cluster.MirrorStatus(m, running[m.Name])
		if fault != nil { // what was read before is not there now
			one = cluster.StatusOf(m.Name, nil, running[m.Name], fault.Error())
		}
		if tells.reads {
			r.addOnDemand(&one, m)
		}
		delete(running, m.Name)
		d.Mirrors = append(d.Mirrors, one)
	}
	for name, pull := range running { // that are being built
		d.Total++
		d.Mirrors = append(d.Mirrors, cluster.StatusOf(name, nil, pull, ""))
	}
	if !tells.progress {
		for i := range d.Mirrors {
			d.Mirrors[i].Pull = nil
		}
	}
	if len(running) > 0 {
		slices.SortFunc(d.Mirrors, func(a, b protocol.Mirror) int { return strings.Compare(a.Name, b.Name) })
	}
	return d
}

// one is what this server tells of itself if it is asked about one mirror. The error is mirror.ErrUnknown.
func (r *Reporter) one(opts *Options, name storage.Name, tells scope, fault error) (*protocol.Status, error) {
	d := r.self(opts, fault)
	d.Total = 1
	var running *mirror.Progress
	if tells.running {
		running = r.Store.Progress(name)
	}
	m, err := r.Store.Get(name)
	switch {
	case errors.Is(err, mirror.ErrUnknown) && running != nil: // it is being built
		d.Mirrors = []protocol.Mirror{cluster.StatusOf(name, nil, running, "")}
	case errors.Is(err, mirror.ErrUnknown):
		return nil, err
	case err != nil:
		d.Mirrors = []protocol.Mirror{cluster.StatusOf(name, nil, running, err.Error())}
	default:
		one := cluster.MirrorStatus(m, running)
		if tells.retained {
			one.Kept = cluster.RetainedStatus(m.Snapshot())
		}
		if tells.reads {
			r.addOnDemand(&one, m)
		}
		d.Mirrors = []protocol.Mirror{one}
	}
	return d, nil
}

// addOnDemand adds what a client is told of a mirror that a read has made. Whoever waits for news of the
// mirror is not to be woken by each read, so the hour has to do.
func (r *Reporter) addOnDemand(one *protocol.Mirror, m *mirror.Mirror) {
	if r.OnDemand == nil || !one.OnDemand {
		return
	}
	read, tooLarge := r.OnDemand(m)
	if one.TooLarge = tooLarge; !read.IsZero() {
		one.LastRead = read.Truncate(time.Hour).Unix()
	}
}
