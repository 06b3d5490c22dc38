// Package status tells what is going on: in all mirrors or in one, on this server and on its slaves, for
// people and for programs.
//
// A server is asked for its status again and again, by whoever watches it and by each server that
// compares mirrors with it. So an answer has an ETag that can be told before the answer is made, and the
// last answer in each form is kept: who watches a quiet server costs it nothing. Slaves are asked anew each
// time, and tell in the same way whether they have something new.
//
//	status.go      an answer, and what it depends on
//	query.go       what is asked for
//	document.go    what this server tells of itself
//	discovery.go   what it has found at forges
//	served.go      how many archives and packs it has made
//	cursor.go      what has changed since another answer
//	watch.go       waiting for the next answer: one look for all who wait for the same
//	form.go        the forms of an answer, and those that are kept
//	toml.go        one of them
package status

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/reconquest/sould/internal/archive"
	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/coalesce"
	"github.com/reconquest/sould/internal/discover"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/pack"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/storage"
)

// Options are the part of the configuration that this package reads.
type Options struct {
	Role   string         // "master" or "slave"
	Master bool           // the slaves are asked
	Refs   []refs.Pattern // what mirrors contain
}

// Reporter tells the status of a server. It is safe for concurrent use.
type Reporter struct {
	Dir      *storage.Dir
	Store    *mirror.Store
	Archives *archive.Cache
	Packs    *pack.Maker
	Client   *cluster.Client
	Epoch    string          // tells this start of the server from others
	Release  string          // of sould
	Life     context.Context // of what goes on for several clients

	Discovery *discover.Runner // nil for none

	// OnDemand tells of a mirror that a read has made when somebody read it last (zero if that is not
	// known), and whether it is larger than permitted; nil if nobody knows.
	OnDemand func(*mirror.Mirror) (lastRead time.Time, tooLarge bool)

	requests coalesce.Recent[struct{}] // that have had the slaves asked
	served   servedCounts
	kept     renderings
	watching watches
	asking   coalesce.Group[storage.Name, time.Duration, []cluster.SlaveStatus]
}

// Asker is who asks.
type Asker struct {
	Trace protocol.Trace
	Peer  bool // another server, which compares mirrors
}

// Answer is an answer to a query.
type Answer struct {
	ETag string
	Type string // the content type
	Body []byte // empty if it is not needed
	News bool   // of one that tells only what has changed: something has

	since bool // it is such a one
}

// Answer answers a query. isNeeded is asked whether an answer with this ETag is new to the client; if it
// is not, there need not be a body. The error is mirror.ErrUnknown.
func (r *Reporter) Answer(ctx context.Context, opts *Options, q Query, by Asker, isNeeded func(etag string) bool) (Answer, error) {
	asked := opts.Master && q.upstream && !by.Peer && !by.Trace.Passed(r.Dir.ID)
	if asked { // once in a request: another server has asked, or will tell the same
		_, again := r.requests.Enter(by.Trace.ID, time.Now(), func() struct{} { return struct{}{} })
		asked = !again
	}
	client := !by.Peer && by.Trace.FromClient()
	tells := scope{
		running:  by.Peer || q.progress,
		progress: !by.Peer && q.progress && (client || q.upstream), // who only compares mirrors would read all of them anew
		retained: client,                                           // to a server they are nothing, and could be more than it reads
		reads:    client,
	}
	fault := r.Store.CheckStorage()
	at := r.now() // before anything is read
	if !tells.progress {
		at.moves = 0
	}
	if q.name != (storage.Name{}) || q.hasSince {
		return r.answerSmall(ctx, opts, q, by, tells, asked, at, fault)
	}
	var counts protocol.Served
	var found []protocol.Discovery
	if !by.Peer { // to which it would be one more change
		found = discoveries(r.Discovery)
		counts = r.served.get(r.Packs.Stats(), r.Archives.Stats(), time.Now())
	}
	var slaves []cluster.SlaveStatus
	if asked {
		slaves = r.askSlaves(ctx, q, by)
	}
	a := Answer{Type: contentTypes[q.format]}
	a.ETag = strongTag(append([]string{
		r.Dir.ID, fmt.Sprint(at, asked, tells, client, counts.Packs, counts.Archives, found), q.format,
	}, cluster.Versions(slaves)...)...)
	if !isNeeded(a.ETag) {
		return a, nil
	}
	var err error
	a.Body, err = r.kept.get(formKey{q.format, asked, by.Peer, client, tells}, a.ETag, func() ([]byte, error) {
		own := r.all(opts, tells, nil, fault)
		own.Discovery = found
		own.Served = counts
		if client {
			own.Cursor = at.String()
		}
		if asked {
			own.Upstream = protocol.NewUpstream(cluster.Documents(slaves))
		}
		return render(own, q.format)
	})
	return a, err
}

// answerSmall answers a query for one mirror, or for what has changed since another answer: it tells so
// little that it is made each time, and its ETag is that of what it says. The error is mirror.ErrUnknown.
func (r *Reporter) answerSmall(
	ctx context.Context, opts *Options, q Query, by Asker, tells scope, asked bool, at cursor, fault error,
) (a Answer, err error) {
	a = Answer{Type: contentTypes[q.format], since: q.hasSince}
	var own *protocol.Status
	itsOwn := false // nobody else need have the mirror
	switch changed := map[storage.Name]bool(nil); {
	case q.hasSince:
		if changed = r.since(q.since, tells.progress); q.name == (storage.Name{}) {
			a.News = changed == nil || len(changed) > 0
			own = r.changed(opts, tells, changed, fault)
			break
		}
		if own, err = r.one(opts, q.name, tells, fault); err != nil {
			return a, err
		}
		itsOwn = onDemand(own)
		own.Full, a.News = changed == nil, changed == nil || changed[q.name]
		if !a.News {
			own.Mirrors = nil
		}
	default: // a client that asks for an unknown one needs no slaves
		own, err = r.one(opts, q.name, tells, fault)
		if errors.Is(err, mirror.ErrUnknown) && asked && !by.Trace.FromClient() {
			own, err = r.absent(ctx, opts, q, by, fault)
		}
		if err != nil {
			return a, err
		}
		itsOwn = onDemand(own)
	}
	if q.hasSince {
		own.Cursor = at.String()
	}
	if asked && own.Upstream == nil {
		slaves := r.askSlaves(ctx, q, by)
		if itsOwn {
			slaves = slices.DeleteFunc(slices.Clone(slaves), cluster.SlaveStatus.Absent) // others may share them
		}
		own.Upstream = protocol.NewUpstream(cluster.Documents(slaves))
	}
	if a.Body, err = render(own, q.format); err == nil {
		a.ETag = strongTag(string(a.Body))
	}
	return a, err
}

// onDemand reports whether a status is that of a mirror that a read has made.
func onDemand(one *protocol.Status) bool { return len(one.Mirrors) == 1 && one.Mirrors[0].OnDemand }

// absent is what this server tells another one of a mirror that it does not have: the error is mirror.ErrUnknown if no
// server below it has the mirror either, and says so.
func (r *Reporter) absent(ctx context.Context, opts *Options, q Query, by Asker, fault error) (*protocol.Status, error) {
	slaves := r.askSlaves(ctx, q, by)
	if cluster.AllAbsent(slaves) {
		return nil, mirror.ErrUnknown
	}
	own := r.self(opts, fault)
	own.Error, own.HierarchicalError = mirror.ErrUnknown.Error(), mirror.ErrUnknown.Error()
	own.Upstream = protocol.NewUpstream(cluster.Documents(slaves))
	return own, nil
}

// askSlaves asks the slaves. Clients that wait for changes come back all at once with each of them, and share
// what is asked.
func (r *Reporter) askSlaves(ctx context.Context, q Query, by Asker) []cluster.SlaveStatus {
	ask := func(ctx context.Context) []cluster.SlaveStatus {
		return r.Client.AskSlaves(ctx, q.name, q.wait, by.Trace.Through(r.Dir.ID))
	}
	if q.hold == 0 || !by.Trace.FromClient() {
		return ask(ctx)
	}
	slaves, err := r.asking.Do(ctx, q.name, q.wait, func() ([]cluster.SlaveStatus, error) { return ask(r.Life), nil })
	if err != nil { // the client has gone, or too many wait for different times
		return ask(ctx)
	}
	return slaves
}
