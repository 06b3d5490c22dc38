package ondemand

import (
	"time"

	"github.com/reconquest/sould/internal/storage"
)

// maxRemembered is of how many names it is remembered that their mirrors could not be made.
const maxRemembered = 4096

// memory is what has failed a moment ago, each for the same time. Of too many the oldest is forgotten.
// The zero value is empty.
type memory struct {
	byName map[storage.Name]*Failure
	order  []*Failure // the oldest first; some were replaced in byName
}

// find returns the failure of a name that still holds, or nil.
func (m *memory) find(name storage.Name, now time.Time) *Failure {
	if f := m.byName[name]; f != nil && now.Before(f.Until) {
		return f
	}
	return nil
}

// add remembers a failure, until its time is over.
func (m *memory) add(f *Failure, now time.Time) {
	for len(m.order) > 0 && (len(m.order) >= maxRemembered || !now.Before(m.order[0].Until)) {
		if first := m.order[0]; m.byName[first.name] == first {
			delete(m.byName, first.name)
		}
		m.order = m.order[1:]
	}
	if m.byName == nil {
		m.byName = make(map[storage.Name]*Failure)
	}
	m.byName[f.name] = f
	m.order = append(m.order, f)
}
