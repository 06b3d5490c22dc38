package status

import (
	"fmt"
	"slices"

	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/storage"
)

// cursor is a moment in the life of a server, by its counters of changes. A client that has had the status
// of that moment asks for what has changed since.
type cursor struct {
	epoch             string // of this start
	generation, moves uint64
}

func (c cursor) String() string { return fmt.Sprintf("%s-%d-%d", c.epoch, c.generation, c.moves) }

// now returns the cursor of what is read from now on.
func (r *Reporter) now() cursor { return cursor{r.Epoch, r.Store.Generation(), r.Store.Moves()} }

// since returns the mirrors that have changed since a client was told a cursor, or whose pulls have gone on if
// their progress is told. They are nil if that is not known: the cursor may be one of before a restart, or
// anything.
func (r *Reporter) since(text string, progress bool) map[storage.Name]bool {
	c := cursor{epoch: r.Epoch}
	if n, err := fmt.Sscanf(text, r.Epoch+"-%d-%d", &c.generation, &c.moves); n != 2 || err != nil || c.String() != text {
		return nil
	}
	changed, ok := r.Store.Since(c.generation)
	if !ok {
		return nil
	}
	var moved []storage.Name
	if progress {
		if moved, ok = r.Store.MovesSince(c.moves); !ok {
			return nil
		}
	}
	names := make(map[storage.Name]bool)
	for _, name := range slices.Concat(changed, moved) {
		names[name] = true
	}
	return names
}

// changed is what this server tells of itself and of those mirrors that have changed; of all if changed is
// nil.
func (r *Reporter) changed(opts *Options, tells scope, changed map[storage.Name]bool, fault error) *protocol.Status {
	d := r.all(opts, tells, changed, fault)
	if d.Full = changed == nil; d.Full {
		return d
	}
	for _, m := range d.Mirrors {
		if name, err := storage.ParseName(m.Name); err == nil {
			delete(changed, name)
		}
	}
	for name := range changed {
		d.Removed = append(d.Removed, name.String())
	}
	slices.Sort(d.Removed)
	return d
}
