// Package insight gathers what a server knows of its mirrors, and of the other servers of its
// cluster, as values for people: the facts of package why, and the views of package page.
//
// It only reads, starts no process, and waits for no other server longer than its caller says.
//
//	insight.go    what it reads
//	facts.go      one mirror, for package why
//	overview.go   all mirrors and servers
//	select.go     which mirrors somebody wants to see, in which order (pure)
//	mirror.go     the page of one mirror
//	watch.go      what a page depends on, and waiting for news of that, or of the status
//	serve.go      the answers with pages, and with what these are made of
//	room.go       how much fits on a page (pure)
package insight

import (
	"time"

	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/discover"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/notify"
	"github.com/reconquest/sould/internal/ondemand"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/poll"
	"github.com/reconquest/sould/internal/storage"
)

// Options are the part of the configuration that this package reads.
type Options struct {
	Role    string        // "master" or "slave"
	Origins origin.Policy // which origins may be read
	Keep    time.Duration // how long replaced refs and removed mirrors are kept
	Check   time.Duration // the period in which all objects are read; 0 for never
	Repair  time.Duration // between two comparisons with another server; 0 for never
	Release string        // of sould
	Token   bool          // commands need the server's token

	// OnRead tells from which origin a read makes the mirror of a name; ok is false if none does. It is nil if
	// none does for any name.
	OnRead func(storage.Name) (from origin.URL, ok bool)
}

// LookEvery is how often the other servers are asked while somebody watches a page or the status.
const LookEvery = 5 * time.Second

// Insight reads what a server knows.
type Insight struct {
	Dir        *storage.Dir
	Store      *mirror.Store
	Observer   *cluster.Observer
	Reconciler *cluster.Reconciler
	Poller     *poll.Poller
	Notifier   *notify.Notifier
	Discovery  *discover.Runner // nil for none
	Room       *ondemand.Keeper // of mirrors that reads have made; nil if nobody keeps them

	Epoch       string // tells this start of the server from others
	Descriptors uint64 // that the process may have

	watchers limiter.Slots // requests that wait for news
}
