package main

import (
	"slices"
	"time"

	"github.com/reconquest/sould/internal/refs"
)

// offer is what a peer has of a mirror, by its own words.
type offer struct {
	address     Address
	has         bool
	pulled      time.Time // when it was last pulled successfully; zero for never
	revision    string
	fingerprint refs.Fingerprint
	fresh       bool      // it has reached the origin, since it was asked
	asked       time.Time // when it was asked to pull
}

// peers are the servers that may be asked instead of an origin: those that the
// configuration names, and never one that a request names.
func (s *settings) peers() []Address {
	peers := slices.Clone(s.Peers)
	if s.Master {
		for _, slave := range s.Slaves {
			if !slices.ContainsFunc(peers, slave.Same) {
				peers = append(peers, slave)
			}
		}
	}
	return peers
}

// newer picks the offers that are worth having, best first: what was pulled later than
// what is here. If what is here is damaged, the same will do.
func newer(offers []offer, now *Snapshot, damaged bool) []offer {
	var better []offer
	for _, o := range offers {
		if o.better(now, damaged) {
			better = append(better, o)
		}
	}
	return better
}

// better reports whether an offer is worth having.
func (o *offer) better(now *Snapshot, damaged bool) bool {
	switch {
	case !o.has:
		return false
	case now == nil, o.pulled.After(now.Pulled),
		o.pulled.Equal(now.Pulled) && o.fingerprint > now.Fingerprint: // so that all take the same
		return true
	default:
		return damaged && (o.fingerprint == now.Fingerprint || o.pulled.Equal(now.Pulled))
	}
}
