package cluster

import (
	"slices"
	"strings"

	"github.com/reconquest/sould/internal/mirror"
)

// IsTold reports whether another server has told this one of a mirror: that one, or its master, looks after
// what nobody announces.
func IsTold(snap *mirror.Snapshot) bool {
	return strings.HasPrefix(snap.WantedBy, mirror.ByServer) || strings.HasPrefix(snap.WantedBy, ByComparison)
}

// IsToldOfAny reports whether another server has told this one of any mirror of a store.
func IsToldOfAny(store *mirror.Store) bool {
	return slices.ContainsFunc(store.All(), func(m *mirror.Mirror) bool { snap := m.Snapshot(); return snap != nil && IsTold(snap) })
}
