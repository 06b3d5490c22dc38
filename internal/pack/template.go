package pack

import (
	"slices"
	"strings"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/smarthttp"
)

// template is a clone that clients ask for, whatever its refs name: the request, and which refs it
// wants.
type template struct {
	fetch smarthttp.Fetch
	refs  []string // full names, or HEAD if that is detached; nil for all branches and tags
}

// maxNamed is how many refs a template may name, if it does not want all branches and tags.
const maxNamed = 16

// newTemplate finds out which refs of a snapshot a clone wants. ok is false if it wants anything
// else, or too many of them.
func newTemplate(snap *mirror.Snapshot, fetch smarthttp.Fetch) (t template, ok bool) {
	if !fetch.IsClone() {
		return t, false
	}
	t.fetch = fetch
	if slices.Equal(fetch.Wants, t.wants(snap)) {
		return t, true
	}
	if len(fetch.Wants) > maxNamed {
		return t, false
	}
	for _, id := range fetch.Wants {
		name := nameOf(snap, id)
		if name == "" {
			return t, false
		}
		t.refs = append(t.refs, name)
	}
	return t, true
}

// nameOf returns the ref that is most likely meant by an id: the default branch, or else the first
// one by name.
func nameOf(snap *mirror.Snapshot, id string) string {
	if snap.Head.ID == id {
		if snap.Head.Detached() {
			return git.HeadName
		}
		return snap.Head.Ref
	}
	i := slices.IndexFunc(snap.Refs, func(r git.Ref) bool { return r.ID == id })
	if i < 0 {
		return ""
	}
	return snap.Refs[i].Name
}

// wants returns the ids that the refs of the template name in a snapshot, sorted; nil if one of the
// refs is not there.
func (t template) wants(snap *mirror.Snapshot) (ids []string) {
	if t.refs == nil {
		for _, ref := range snap.Refs {
			if strings.HasPrefix(ref.Name, "refs/heads/") || strings.HasPrefix(ref.Name, "refs/tags/") {
				ids = append(ids, ref.ID)
			}
		}
	}
	for _, name := range t.refs {
		ref, found := snap.Find(name)
		if name == git.HeadName {
			ref, found = git.Ref{ID: snap.Head.ID}, snap.Head.Detached()
		}
		if !found {
			return nil
		}
		ids = append(ids, ref.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
