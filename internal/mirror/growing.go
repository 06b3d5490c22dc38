package mirror

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/spool"
	"github.com/reconquest/sould/internal/storage"
)

// Growing is a mirror that a read has asked for, and that does not stand yet. Its refs are known as
// soon as the origin has listed them, and its objects can be had as they come from there. Nothing of
// that is checked before the mirror stands, so that a reader must not be told before that it has all.
// What comes from a replica is not shown: it may be older than readers take. Growing is safe for
// concurrent use.
type Growing struct {
	*Progress
	Name storage.Name

	over   chan struct{} // closed when the pull has ended
	listed chan struct{} // closed when the refs are known

	mu   sync.Mutex // guards all below
	repo git.Repo   // of the same object format as the mirror
	refs git.Listing
	pack *incoming // nil if there is no room for it
	err  error     // of the pull
}

// Growing returns the mirror of that name that is being made for readers who wait for it; nil if
// there is none.
func (s *Store) Growing(name storage.Name) *Growing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.growing[name]
}

// AwaitGrowing returns Growing as soon as there is one and its refs are known. It returns nil if ctx ends
// before, or if the mirror that was growing stands or cannot be made.
func (s *Store) AwaitGrowing(ctx context.Context, name storage.Name) *Growing {
	for {
		moves := s.Moves()
		if g := s.Growing(name); g != nil {
			if !g.AwaitRefs(ctx) {
				return nil
			}
			return g
		}
		select {
		case <-s.AfterMoves(moves):
		case <-ctx.Done():
			return nil
		}
	}
}

// AwaitRefs waits until the refs are known. It returns false if that has not come before the mirror stands or
// cannot be made, or before ctx ends.
func (g *Growing) AwaitRefs(ctx context.Context) bool {
	select {
	case <-g.listed:
		return true
	case <-g.over:
	case <-ctx.Done():
	}
	return false
}

// startGrowing shows readers a mirror that the job is about to make, if one of them has asked.
func (j *pullJob) startGrowing(src Source) {
	if !j.req.OnDemand || j.growing != nil || !src.isOrigin() {
		return
	}
	g := &Growing{Progress: j.progress, Name: j.req.Name, over: make(chan struct{}), listed: make(chan struct{}), pack: j.receive(j.req.Name)}
	j.growing = g
	j.mu.Lock()
	j.Store.growing[g.Name] = g
	j.mu.Unlock()
	j.moves.Add(j.req.Name)
}

// endGrowing ends it with the error of the pull. The mirror stands, or it could not be made.
func (j *pullJob) endGrowing(result Result, err error) {
	g := j.growing
	if g == nil {
		return
	}
	j.growing = nil
	j.mu.Lock()
	delete(j.Store.growing, g.Name)
	j.mu.Unlock()
	reason := err
	switch {
	case err == nil && (result.Snapshot == nil || result.Snapshot.Shallow): // a client must be told where it is cut off
		reason = errOtherPack
	case err == nil:
		reason = ErrStands
	}
	g.mu.Lock()
	g.err = err
	g.mu.Unlock()
	g.pack.end(reason)
	close(g.over)
}

// list shows readers the refs that a source has listed, as the mirror will have them, and a
// repository with the mirror's object format. Without refs there is nothing to wait for.
func (g *Growing) list(repo git.Repo, src Source, listing git.Listing, patterns []refs.Pattern) {
	switch {
	case g == nil, len(listing.Refs) == 0:
		return
	case !src.isOrigin():
		g.pack.end(errOtherPack)
		return
	}
	var shown git.Listing
	shown.Refs, _ = refs.Split(listing.Refs, patterns)
	shown.Head = refs.ChooseHead(git.Head{}, listing.Head, shown.Refs)
	g.mu.Lock()
	defer g.mu.Unlock()
	before, again := g.refs, g.repo.Dir != ""
	g.repo, g.refs = repo, shown
	switch {
	case !again:
		close(g.listed)
	case before.Head != shown.Head || !slices.Equal(before.Refs, shown.Refs):
		g.pack.end(errOtherPack) // what comes is not what readers were shown
	}
}

// Over is closed when the mirror stands, or cannot be made.
func (g *Growing) Over() <-chan struct{} { return g.over }

// Err says why the mirror could not be made, or not as its origin is. It is for after Over.
func (g *Growing) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// Refs returns the refs that the mirror will have, once they are known.
func (g *Growing) Refs() git.Listing {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refs
}

// Pack returns a reader of the pack that is on its way. Its error at the end is ErrStands, and
// anything else if the pack is not what the mirror has. Pack returns nil if there is nothing to
// read. The caller must close the reader.
func (g *Growing) Pack() *spool.Reader { return g.pack.follow() }

// Advertise has git tell what it offers clients of a mirror of this object format.
func (g *Growing) Advertise(ctx context.Context, version int) ([]byte, error) {
	g.mu.Lock()
	repo := g.repo
	g.mu.Unlock()
	if repo.Dir == "" {
		return nil, errors.New("the object format is not known yet")
	}
	return repo.Advertise(ctx, version)
}
