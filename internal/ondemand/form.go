package ondemand

import (
	"errors"
	"net/url"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/storage"
)

// AddOrigin adds to a POST's form the origin that a rule has for its name, if the form has none, and gives
// the mirror the name that the rule does.
func (t Tables) AddOrigin(form url.Values) error {
	if form.Get("name") == "" || form.Has("origin") {
		return nil
	}
	name, err := storage.ParseName(form.Get("name"))
	if err != nil {
		return nil // which is told where the form is read
	}
	name, from, err := t.Mirror(name)
	switch {
	case errors.Is(err, mirror.ErrUnknown):
		return nil
	case err != nil:
		return err
	}
	form.Set("name", name.String())
	form.Set("origin", from.String())
	return nil
}
