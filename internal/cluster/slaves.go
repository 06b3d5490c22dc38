package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/units"
)

// SlaveStatus is a slave's status, or the reason why there is none.
type SlaveStatus struct {
	doc     protocol.Status
	version string // equal for equal documents
	itself  bool   // it has turned out to be this very server
	absent  bool   // see Absent
}

// Absent reports whether the slave was asked for one mirror, and neither it nor a server below it has that.
func (s SlaveStatus) Absent() bool { return s.absent }

// AskSlaves asks all slaves at once for their status: that of one mirror, or of all mirrors if the
// name is zero. It waits no longer than wait.
func (c *Client) AskSlaves(ctx context.Context, name storage.Name, wait time.Duration, trace protocol.Trace) []SlaveStatus {
	ctx, cancel := context.WithTimeoutCause(ctx, wait, fmt.Errorf("no answer within %s", units.FormatDuration(wait)))
	defer cancel()
	slaves := c.Others(c.current.Load().Slaves)
	all := make([]SlaveStatus, len(slaves))
	var asked sync.WaitGroup
	for i, address := range slaves {
		asked.Go(func() { all[i] = c.askSlave(ctx, address, name, trace) })
	}
	asked.Wait()
	boundTogether(slaves, all)
	return slices.DeleteFunc(all, func(one SlaveStatus) bool { return one.itself })
}

// boundTogether leaves out the statuses that exceed the bound for all of them together.
func boundTogether(slaves []protocol.Address, all []SlaveStatus) {
	total := 0
	for i := range all {
		size := all[i].doc.Size()
		if total += size; total <= protocol.MaxTogether {
			continue
		}
		total -= size
		all[i] = failedStatus(slaves[i], fmt.Errorf("it is left out: all servers together tell more than fits into %d bytes", protocol.MaxTogether))
	}
}

func failedStatus(address protocol.Address, err error) SlaveStatus {
	return SlaveStatus{
		doc: protocol.FailedStatus(address, err), version: address.URL() + " " + err.Error(),
		itself: errors.Is(err, errItself), absent: errors.Is(err, mirror.ErrUnknown),
	}
}

func (c *Client) askSlave(ctx context.Context, address protocol.Address, name storage.Name, trace protocol.Trace) SlaveStatus {
	slave, version := c.peer(address, true), uint64(0)
	var doc *protocol.Status
	var err error
	if name != (storage.Name{}) {
		doc, err = slave.mirror(ctx, trace, name)
	} else {
		doc, version, err = slave.status(ctx, trace)
	}
	if err == nil && doc.ID == c.self {
		err = errSameID
	}
	if err != nil {
		return failedStatus(address, err)
	}
	named := *doc
	named.Address = address.String()
	return SlaveStatus{doc: named, version: fmt.Sprint(address.URL(), " ", version)}
}

// Documents are the statuses of slaves as parts of a master's status.
func Documents(all []SlaveStatus) []protocol.Status {
	docs := make([]protocol.Status, len(all))
	for i, one := range all {
		docs[i] = one.doc
	}
	return docs
}

// AllAbsent reports whether none of the slaves has the mirror that they were asked for, nor one below them.
func AllAbsent(all []SlaveStatus) bool {
	return !slices.ContainsFunc(all, func(one SlaveStatus) bool { return !one.absent })
}

// Versions are equal for two lists of statuses if all documents are.
func Versions(all []SlaveStatus) []string {
	versions := make([]string, len(all))
	for i, one := range all {
		versions[i] = one.version
	}
	return versions
}
