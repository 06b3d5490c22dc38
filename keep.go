package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/refs"
)

// kept is what the mirror's own refs become when a plan is carried out, for which the
// objects are there. A branch that was replaced by one of its descendants, or whose
// commit is in the history of another one that moved with it, needs no keeping. forward
// is the only ref that has moved, if the new value has the old one in its history.
func (m *Mirror) kept(ctx context.Context, set *settings, repo git.Repo, p refs.Plan) (own []git.Ref, forward string, err error) {
	lost, asks := refs.Losses(m.Snapshot().Listing, p)
	if set.Keep > 0 && len(asks) > 0 {
		reason := fmt.Errorf("not over within %s", set.FetchTimeout)
		limited, cancel := context.WithTimeoutCause(ctx, set.FetchTimeout, reason)
		defer cancel()
		replaced, err := replacedRefs(limited, repo, asks)
		if ctx.Err() != nil {
			return nil, "", context.Cause(ctx)
		}
		if len(asks) == 1 && len(replaced) == 0 && err == nil {
			forward = asks[0].From.Name
		}
		if err != nil { // in doubt, keep
			for _, ask := range asks {
				replaced = append(replaced, ask.From)
			}
		}
		lost = append(lost, replaced...)
	}
	return m.keep(lost, set), forward, nil
}

// keep is what the mirror's own refs become when these refs are lost now.
func (m *Mirror) keep(lost []git.Ref, set *settings) []git.Ref {
	own, early := refs.Retain(m.own, lost, time.Now(), refs.LimitsFor(set.Keep))
	if early > 0 {
		m.log.Warn("too many refs are kept; the oldest go early", "mirror", m.Name, "refs", early)
	}
	return own
}

// replacedRefs are those refs whose old value is not in the history of a new one.
func replacedRefs(ctx context.Context, repo git.Repo, asks []refs.Moved) ([]git.Ref, error) {
	var olds, news, unsure []string
	for _, ask := range asks {
		olds, news = append(olds, ask.From.ID), append(news, ask.To...)
		if !strings.HasPrefix(ask.From.Name, "refs/heads/") {
			unsure = append(unsure, ask.From.ID)
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
	for _, ask := range asks {
		if gone[ask.From.ID] || others[ask.From.ID] {
			replaced = append(replaced, ask.From)
		}
	}
	return replaced, nil
}

// LetGo removes refs that were kept for long enough from all mirrors. A mirror that somebody
// is writing to is left for another time.
func (ms *Mirrors) LetGo(ctx context.Context, set *settings) {
	for _, m := range ms.All() {
		if !m.Snapshot().keepsTooLong(set.Keep, time.Now()) {
			continue
		}
		if err := ms.letGo(ctx, set, m); err != nil && ctx.Err() == nil {
			ms.log.Error("can't let go of refs that were kept for long enough", "mirror", m.Name, "err", err)
		}
	}
}

// keepsTooLong reports whether refs were kept for long enough.
func (s *Snapshot) keepsTooLong(keep time.Duration, now time.Time) bool {
	return s != nil && len(s.Kept) > 0 && !s.Kept[0].At.Add(keep).After(now) // the oldest
}

func (ms *Mirrors) letGo(ctx context.Context, set *settings, m *Mirror) error {
	end, free := ms.turns.try(m.Name)
	if !free {
		return nil
	}
	defer end()
	err := ms.tend(set, m)
	if errors.Is(err, errUnknownMirror) || errors.Is(err, errReplaced) {
		return nil
	}
	if err != nil {
		return err
	}
	defer ms.tended(m.Name)
	repo := set.git.Repo(m.Dir)
	if err := m.settle(ctx, set, repo); err != nil {
		return err
	}
	own := m.keep(nil, set)
	if len(own) == len(m.own) {
		return nil
	}
	s := m.Snapshot()
	all := refs.Join(s.Refs, own)
	m.refs.Lock()
	err = repo.WriteRefs(all)
	m.refs.Unlock()
	if err != nil {
		return err
	}
	m.publish(set, git.Listing{Refs: all, Head: s.Head}, repo.Stamp())
	return nil
}
