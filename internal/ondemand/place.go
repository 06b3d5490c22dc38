package ondemand

import (
	"strings"

	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
)

// At returns the name and the origin of the mirror that the rules make of the repository at a place, as
// a forge calls it: letter case in the path does not matter. ok is false if no rule leads there.
func (t Tables) At(place origin.Place) (name storage.Name, from origin.URL, ok bool) {
	parts := strings.Split(place.Path, "/")
	for _, r := range t.rules {
		for i := range parts { // the template may begin with some of them
			path := r.fold(strings.Join(parts[i:], "/"))
			from, err := r.Origin(path)
			if err != nil || from.Place().Fold() != place.Fold() {
				continue
			}
			name, err := r.Name(path)
			if err != nil {
				continue
			}
			if found, _, _ := t.Find(name); found.Prefix == r.Prefix {
				return name, from, true
			}
		}
	}
	return storage.Name{}, origin.URL{}, false
}
