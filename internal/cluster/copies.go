package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/storage"
)

// Copy is a mirror as a server has it that this one passes requests on to, directly or by way of others.
type Copy struct {
	Server      string // its address; "a/b" is the slave b of the slave a
	Fingerprint refs.Fingerprint
	Revision    string
	Shallow     bool
	OtherRefs   bool // its mirrors contain other refs, so that only the default branch can be compared
}

// Has reports whether the copy has just what a snapshot of the mirror here has.
func (c *Copy) Has(s *mirror.Snapshot) bool {
	if c.OtherRefs {
		return c.Revision == s.Head.ID
	}
	return c.Fingerprint == s.Fingerprint && c.Shallow == s.Shallow
}

// Copies asks all slaves, and those below them, for a mirror. The error names one that does not say that it
// has the mirror.
func (c *Client) Copies(ctx context.Context, name storage.Name, wait time.Duration) ([]Copy, error) {
	slaves := c.AskSlaves(ctx, name, wait, protocol.NewTrace(c.self))
	return copiesIn("", Documents(slaves), name.String(), c.current.Load().Refs, nil)
}

// Absent asks all slaves, and those below them, whether a mirror is gone there, or is one that a read has made, which
// is that server's alone. It returns the addresses of the slaves. The error names one that does not say so.
func (c *Client) Absent(ctx context.Context, name storage.Name, wait time.Duration) (servers []string, err error) {
	for _, slave := range c.AskSlaves(ctx, name, wait, protocol.NewTrace(c.self)) {
		if err := slave.lacks(); err != nil {
			return nil, fmt.Errorf("%s: %w", slave.doc.Address, err)
		}
		servers = append(servers, slave.doc.Address)
	}
	return servers, nil
}

// lacks returns nil if a slave that was asked for one mirror does not have it.
func (s *SlaveStatus) lacks() error {
	switch {
	case s.absent:
		return nil
	case s.doc.Error != "":
		return errors.New(s.doc.Error)
	case len(s.doc.Mirrors) == 1 && s.doc.Mirrors[0].OnDemand:
		return nil
	default:
		return errors.New("it still has the mirror")
	}
}

// copiesIn reads the copies of a mirror from the statuses of servers, and of those below them.
func copiesIn(above string, docs []protocol.Status, name string, patterns []refs.Pattern, all []Copy) ([]Copy, error) {
	for i := range docs {
		doc := &docs[i]
		server := above + doc.Address
		at := slices.IndexFunc(doc.Mirrors, func(m protocol.Mirror) bool { return m.Name == name })
		switch {
		case doc.Error != "":
			return nil, fmt.Errorf("%s: %s", server, doc.Error)
		case at < 0:
			return nil, fmt.Errorf("%s has no such mirror", server)
		}
		m := doc.Mirrors[at]
		all = append(all, Copy{
			Server: server, Fingerprint: refs.Fingerprint(m.Fingerprint), Revision: m.Revision, Shallow: m.Shallow,
			OtherRefs: !refs.SamePatterns(doc.Patterns, patterns),
		})
		if doc.Upstream == nil {
			continue
		}
		var err error
		if all, err = copiesIn(server+"/", doc.Upstream.Slaves, name, patterns, all); err != nil {
			return nil, err
		}
	}
	return all, nil
}
