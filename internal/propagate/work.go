package propagate

import (
	"context"
	"time"

	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/storage"
)

// work is what this server and its slaves do.
type work interface {
	here(ctx context.Context) protocol.Outcome
	// tell gets what the slave says of its progress; nil if nobody wants to know.
	onSlave(ctx context.Context, slave protocol.Address, trace protocol.Trace, tell func(protocol.Line)) protocol.Outcome
}

// pull is what a POST asks of this server and its slaves.
type pull struct {
	run    mirror.Run
	client *cluster.Client
	onward mirror.Request // with the credentials that are known here
}

func (p *pull) here(ctx context.Context) protocol.Outcome {
	return outcomeOf(p.run.Wait(ctx))
}

// outcomeOf is what is told of a pull that has ended.
func outcomeOf(result mirror.Result, err error) protocol.Outcome {
	outcome := protocol.Outcome{State: protocol.Success}
	if err != nil {
		outcome = protocol.Failure(err)
	}
	if now := result.Snapshot; now != nil { // it may have failed and changed something all the same
		outcome.Branch, outcome.Revision, outcome.From = now.Head.Ref, now.Head.ID, now.From
		outcome.Changed = result.Changed
	}
	return outcome
}

func (p *pull) onSlave(ctx context.Context, slave protocol.Address, trace protocol.Trace, tell func(protocol.Line)) protocol.Outcome {
	return p.client.PropagatePull(ctx, slave, p.onward, trace, tell)
}

// pulled is a change that is here already: the slaves are to get it as from a POST.
type pulled struct {
	result mirror.Result
	*pull
}

func (p *pulled) here(context.Context) protocol.Outcome { return outcomeOf(p.result, nil) }

// deletion is what a DELETE asks of this server and its slaves.
type deletion struct {
	*Propagator
	name storage.Name
	at   time.Time // when somebody asked for it
}

func (d *deletion) here(ctx context.Context) protocol.Outcome {
	existed, err := d.Store.Delete(ctx, d.name, d.at)
	if err != nil {
		return protocol.Failure(err)
	}
	d.Purge(d.name.String())
	return protocol.Outcome{State: protocol.Success, Removed: existed, Absent: !existed}
}

func (d *deletion) onSlave(ctx context.Context, slave protocol.Address, trace protocol.Trace, _ func(protocol.Line)) protocol.Outcome {
	return d.Client.PropagateDelete(ctx, slave, d.name, trace, d.at)
}
