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
//	served.go      how many archives and packs it has made
//	form.go        the forms of an answer, and those that are kept
//	toml.go        one of them
package status

import (
	"context"
	"fmt"
	"time"

	"github.com/reconquest/sould/internal/archive"
	"github.com/reconquest/sould/internal/cluster"
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
	Epoch    string // tells this start of the server from others
	Release  string // of sould

	requests cluster.Recent[struct{}] // that have had the slaves asked
	served   servedCounts
	kept     renderings
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
}

// Answer answers a query. isNeeded is asked whether an answer with this ETag is new to the client; if it
// is not, there need not be a body. The error is mirror.ErrUnknown.
func (r *Reporter) Answer(ctx context.Context, opts *Options, q Query, by Asker, isNeeded func(etag string) bool) (Answer, error) {
	asked := opts.Master && q.upstream && !by.Peer && !by.Trace.Passed(r.Dir.ID)
	if asked { // once in a request: another server has asked, or will tell the same
		_, again := r.requests.Enter(by.Trace.ID, time.Now(), func() struct{} { return struct{}{} })
		asked = !again
	}
	var counts protocol.Served
	if !by.Peer { // to which it would be one more change
		counts = r.served.get(r.Packs.Stats(), r.Archives.Stats(), time.Now())
	}
	retained := !by.Peer && by.Trace.FromClient()              // to a server they are nothing, and could be more than it reads
	pulls := !by.Peer && (by.Trace.FromClient() || q.upstream) // who only compares mirrors would read all of them anew
	fault := r.Store.CheckStorage()
	generation, moves := r.Store.Generation(), uint64(0) // before anything is read
	if pulls {
		moves = r.Store.Moves()
	}
	var own *protocol.Status
	var err error
	if q.name != (storage.Name{}) { // an unknown one needs no slaves
		if own, err = r.one(opts, q.name, retained, fault); err != nil {
			return Answer{}, err
		}
	}
	var slaves []cluster.SlaveStatus
	if asked {
		slaves = r.Client.AskSlaves(ctx, q.name, q.wait, by.Trace.Through(r.Dir.ID))
	}
	made := func() ([]byte, error) {
		if own == nil {
			own = r.all(opts, pulls, fault)
		}
		own.Served = counts
		if asked {
			own.Upstream = protocol.NewUpstream(cluster.Documents(slaves))
		}
		return render(own, q.format)
	}
	a := Answer{Type: contentTypes[q.format]}
	if own != nil {
		if a.Body, err = made(); err == nil {
			a.ETag = strongTag(string(a.Body))
		}
		return a, err
	}
	a.ETag = strongTag(append([]string{
		r.Dir.ID, r.Epoch, fmt.Sprint(generation, moves, asked, pulls, counts.Packs, counts.Archives), q.format,
	}, cluster.Versions(slaves)...)...)
	if isNeeded(a.ETag) {
		a.Body, err = r.kept.get(formKey{q.format, asked, by.Peer, pulls}, a.ETag, made)
	}
	return a, err
}
