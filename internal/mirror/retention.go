package mirror

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/refs"
)

// retention returns the mirror's own refs after a plan, whose objects must have been fetched. It
// also peels the refs that the plan writes. After a usual push one branch has moved forward; that
// takes only one process, since the push waits for each.
func (h *held) retention(ctx context.Context, p *refs.Plan) (own []git.Ref, err error) {
	if p.Empty() {
		return h.own(), nil
	}
	lost, forward, err := h.losses(ctx, *p)
	if err != nil {
		return nil, err
	}
	for i := range p.After.Refs {
		if ref := &p.After.Refs[i]; ref.Name == forward && ref.IsCommit() && !slices.Contains(p.Tags, forward) {
			ref.Peeled = ref.ID
		}
	}
	return h.retain(lost), peel(ctx, h.repo, p)
}

// losses returns the refs that a plan takes away. A branch is not lost if its old commit is in
// the history of its new one, or of another ref that has moved. If only one ref has moved, and
// moved forward, forward is its name.
func (h *held) losses(ctx context.Context, p refs.Plan) (lost []git.Ref, forward string, err error) {
	lost, moved := refs.Losses(h.Snapshot().Listing, p)
	if h.opts.Keep == 0 || len(moved) == 0 {
		return lost, "", nil
	}
	limited, cancel := within(ctx, h.opts.FetchTimeout)
	defer cancel()
	replaced, err := replacedRefs(limited, h.repo, moved)
	switch {
	case ctx.Err() != nil:
		return nil, "", context.Cause(ctx)
	case err != nil: // if git cannot tell, retain them all
		for _, ref := range moved {
			lost = append(lost, ref.From)
		}
	case len(moved) == 1 && len(replaced) == 0:
		forward = moved[0].From.Name
	}
	return append(lost, replaced...), forward, nil
}

// retain returns the mirror's own refs with these lost ones retained.
func (h *held) retain(lost []git.Ref) []git.Ref {
	own, evicted := refs.Retain(h.own(), lost, time.Now(), refs.LimitsFor(h.opts.Keep))
	if evicted > 0 {
		h.store.log.Warn("too many refs are retained; the oldest are removed early", "mirror", h.Name, "refs", evicted)
	}
	return own
}

// replacedRefs returns the old values of those moved refs that are not in the history of any new
// value.
func replacedRefs(ctx context.Context, repo git.Repo, moved []refs.Moved) ([]git.Ref, error) {
	var olds, news, unsure []string
	for _, ref := range moved {
		olds, news = append(olds, ref.From.ID), append(news, ref.To...)
		if !strings.HasPrefix(ref.From.Name, "refs/heads/") {
			unsure = append(unsure, ref.From.ID)
		}
	}
	gone, err := repo.Unreachable(ctx, olds, news)
	if err != nil {
		return nil, err
	}
	others, err := repo.NotCommits(ctx, unsure) // these have no history
	if err != nil {
		return nil, err
	}
	var replaced []git.Ref
	for _, ref := range moved {
		if gone[ref.From.ID] || others[ref.From.ID] {
			replaced = append(replaced, ref.From)
		}
	}
	return replaced, nil
}

// peel looks up the objects that the written refs of a plan lead to. Branches and a detached
// HEAD must be commits, else git takes the repository for broken.
func peel(ctx context.Context, repo git.Repo, p *refs.Plan) error {
	all := p.After.Refs
	if p.Head != nil && p.Head.Detached() {
		all = append(slices.Clip(all), git.Ref{Name: git.HeadName, ID: p.Head.ID})
	}
	missing, err := repo.Peel(ctx, all)
	p.After.Refs = all[:len(p.After.Refs)]
	switch {
	case err != nil || len(missing) == 0:
		return err
	case all[missing[0]].IsCommit():
		return fmt.Errorf("the origin's %s is not a commit, as it must be; nothing was changed", all[missing[0]].Name)
	default:
		return fmt.Errorf("the origin did not send the object of %s", all[missing[0]].Name)
	}
}

// Expire removes retained refs whose time is over from all mirrors. It skips mirrors that have a
// writer.
func (s *Store) Expire(ctx context.Context) {
	opts := s.options.Load()
	for _, m := range s.All() {
		if !m.Snapshot().hasExpired(opts.Keep, time.Now()) {
			continue
		}
		if err := s.expire(ctx, opts, m); err != nil && ctx.Err() == nil {
			s.log.Error("can't remove retained refs", "mirror", m.Name, "err", err)
		}
	}
}

// hasExpired reports whether the time of any retained ref is over. The oldest is the first.
func (s *Snapshot) hasExpired(keep time.Duration, now time.Time) bool {
	return s != nil && len(s.Retained) > 0 && !s.Retained[0].At.Add(keep).After(now)
}

func (s *Store) expire(ctx context.Context, opts *Options, m *Mirror) error {
	lock, free := s.locks.TryLock(m.Name)
	if !free {
		return nil
	}
	defer lock.Unlock()
	err := s.beginMaintenance(m)
	if errors.Is(err, ErrUnknown) || errors.Is(err, ErrReplaced) {
		return nil
	}
	if err != nil {
		return err
	}
	defer s.endMaintenance(m.Name)
	h := m.hold(opts, lock)
	if err := h.packRefs(ctx); err != nil {
		return err
	}
	own := h.retain(nil)
	if len(own) == len(h.own()) {
		return nil
	}
	return h.setOwn(own)
}
