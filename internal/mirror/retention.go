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

// retention is what the mirror's own refs become when a plan is carried out for which the
// objects are there; it also looks up what those refs lead to that the plan writes. Of one
// branch that has moved forward, as after a usual push, one question to git tells both,
// unless it names an annotated tag: a push waits for each process.
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

// losses are the refs that a plan takes away. A branch that was replaced by one of its
// descendants, or whose commit is in the history of another one that moved with it, is not
// lost. forward is the only ref that has moved, if the new value has the old one in its
// history.
func (h *held) losses(ctx context.Context, p refs.Plan) (lost []git.Ref, forward string, err error) {
	lost, moved := refs.Losses(h.Snapshot().Listing, p)
	if h.opts.Keep == 0 || len(moved) == 0 {
		return lost, "", nil
	}
	reason := fmt.Errorf("not over within %s", h.opts.FetchTimeout)
	limited, cancel := context.WithTimeoutCause(ctx, h.opts.FetchTimeout, reason)
	defer cancel()
	replaced, err := replacedRefs(limited, h.repo, moved)
	switch {
	case ctx.Err() != nil:
		return nil, "", context.Cause(ctx)
	case err != nil: // in doubt, all are lost
		for _, ref := range moved {
			lost = append(lost, ref.From)
		}
	case len(moved) == 1 && len(replaced) == 0:
		forward = moved[0].From.Name
	}
	return append(lost, replaced...), forward, nil
}

// retain is what the mirror's own refs become when these refs are lost now.
func (h *held) retain(lost []git.Ref) []git.Ref {
	own, evicted := refs.Retain(h.own(), lost, time.Now(), refs.LimitsFor(h.opts.Keep))
	if evicted > 0 {
		h.store.log.Warn("too many refs are kept; the oldest go early", "mirror", h.Name, "refs", evicted)
	}
	return own
}

// replacedRefs are those refs whose old value is not in the history of a new one.
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
	others, err := repo.NotCommits(ctx, unsure) // they have no history
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

// peel looks up what the refs lead to that the plan writes. Branches and a detached HEAD
// must be commits: git takes a repository where they are not for broken.
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
		return fmt.Errorf("the origin's %s names no commit, as it must; nothing was changed", all[missing[0]].Name)
	default:
		return fmt.Errorf("the origin did not send what %s names", all[missing[0]].Name)
	}
}

// Expire removes refs from all mirrors that were retained for long enough. A mirror that
// somebody is writing to is left for another time.
func (s *Store) Expire(ctx context.Context) {
	opts := s.options.Load()
	for _, m := range s.All() {
		if !m.Snapshot().retainsTooLong(opts.Keep, time.Now()) {
			continue
		}
		if err := s.expire(ctx, opts, m); err != nil && ctx.Err() == nil {
			s.log.Error("can't let go of refs that were kept for long enough", "mirror", m.Name, "err", err)
		}
	}
}

// retainsTooLong reports whether refs were retained for long enough.
func (s *Snapshot) retainsTooLong(keep time.Duration, now time.Time) bool {
	return s != nil && len(s.Retained) > 0 && !s.Retained[0].At.Add(keep).After(now) // the oldest
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
