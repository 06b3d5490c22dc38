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
// name is zero. It waits so long at most. The request has come through the servers of via.
func (c *Client) AskSlaves(ctx context.Context, name storage.Name, wait time.Duration, via []string) []Told {
	ctx, cancel := context.WithTimeoutCause(ctx, wait, fmt.Errorf("no answer within %s", wait))
	defer cancel()
	slaves := c.current.Load().Slaves
	all := make([]Told, len(slaves))
	var parts sync.WaitGroup
	for i, address := range slaves {
		parts.Go(func() { all[i] = c.askSlave(ctx, address, name, via) })
	}
	parts.Wait()
	return all
}

func (c *Client) askSlave(ctx context.Context, address protocol.Address, name storage.Name, via []string) Told {
	peer, version := c.Peer(address, true), uint64(0)
	var doc *protocol.Status
	var err error
	if name != (storage.Name{}) {
		doc, err = peer.Mirror(ctx, via, name)
	} else {
		doc, version, _, err = peer.Status(ctx, via)
	}
	if err == nil && doc.ID == c.self {
		err = errItself
	}
	if err != nil {
		return Told{protocol.FailedStatus(address, err), address.URL() + " " + err.Error()}
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
