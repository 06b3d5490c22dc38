package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/storage"
)

// Told is what a slave told of itself, or why it did not.
type Told struct {
	entry protocol.Status
	stamp string // equal for what is the same
}

// AskSlaves asks all slaves at once what they have to tell: of one mirror, or of all if the
// name is zero. It waits so long at most.
func (c *Client) AskSlaves(ctx context.Context, name storage.Name, wait time.Duration, trace protocol.Trace) []Told {
	ctx, cancel := context.WithTimeoutCause(ctx, wait, fmt.Errorf("no answer within %s", wait))
	defer cancel()
	slaves := c.current.Load().Slaves
	all := make([]Told, len(slaves))
	var parts sync.WaitGroup
	for i, address := range slaves {
		parts.Go(func() { all[i] = c.askSlave(ctx, address, name, trace) })
	}
	parts.Wait()
	leaveOut(slaves, all)
	return all
}

// leaveOut leaves out what slaves told beyond what all of them may tell together.
func leaveOut(slaves []protocol.Address, all []Told) {
	size := 0
	for i := range all {
		its := all[i].entry.Size()
		if size += its; size <= protocol.MaxTogether {
			continue
		}
		size -= its
		all[i] = failedTold(slaves[i], fmt.Errorf("it is left out: all servers together tell more than %d bytes can hold", protocol.MaxTogether))
	}
}

func failedTold(address protocol.Address, err error) Told {
	return Told{protocol.FailedStatus(address, err), address.URL() + " " + err.Error()}
}

func (c *Client) askSlave(ctx context.Context, address protocol.Address, name storage.Name, trace protocol.Trace) Told {
	peer, version := c.Peer(address, true), uint64(0)
	var doc *protocol.Status
	var err error
	if name != (storage.Name{}) {
		doc, err = peer.Mirror(ctx, trace, name)
	} else {
		doc, version, _, err = peer.Status(ctx, trace)
	}
	if err == nil && doc.ID == c.self {
		err = errItself
	}
	if err != nil {
		return failedTold(address, err)
	}
	entry := *doc
	entry.Address = address.String()
	return Told{entry, fmt.Sprint(address.URL(), " ", version)}
}

// Entries are what slaves told, as a master tells it.
func Entries(all []Told) []protocol.Status {
	docs := make([]protocol.Status, len(all))
	for i, one := range all {
		docs[i] = one.entry
	}
	return docs
}

// Stamps are equal for two answers if all slaves told the same.
func Stamps(all []Told) []string {
	words := make([]string, len(all))
	for i, one := range all {
		words[i] = one.stamp
	}
	return words
}
