package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/reconquest/sould/internal/git"
)

// What clients ask of a mirror decides whether it is pulled first; and what they ask about
// commits is remembered, so that it costs a process only once.

// wantsPull decides whether a GET pulls first: when the latest pull failed, when
// there was none since the start, or when the client insists; not when there is
// nothing to pull from, nor while a failed origin is left alone.
func wantsPull(s *Snapshot, set *settings, insists, pulled, ready bool) bool {
	switch {
	case !s.Origin.Known():
		return false
	case insists, s.Outcome != OutcomeSuccess, !pulled:
		return ready && set.originPolicy().Check(s.Origin) == nil
	default:
		return false
	}
}

// wantsPull applies the decision to the mirror as it is now.
func (m *Mirror) wantsPull(set *settings, insists bool) bool {
	s := m.Snapshot()
	m.mu.Lock()
	defer m.mu.Unlock()
	return wantsPull(s, set, insists, m.pulled, true) && m.retry.Ready(time.Now())
}

// ended notes how a pull ended, for the decision about the next one.
func (m *Mirror) ended(ctx context.Context, set *settings, err error, posted bool) {
	m.noteSought(ctx, set)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case err == nil:
		m.retry.Reset()
		m.pulled = true
	case posted: // somebody knows that the origin has news
		m.retry.Reset()
	default:
		m.retry.Fail(time.Now(), set.Retry)
	}
}

// noteSought notes which of the commits that clients look for a pull has not brought.
// One that it has brought may get into the branch at any time: that is looked for
// again soon.
func (m *Mirror) noteSought(ctx context.Context, set *settings) {
	m.mu.Lock()
	ids := slices.Collect(maps.Keys(m.sought))
	clear(m.sought)
	m.mu.Unlock()
	if len(ids) == 0 {
		return
	}
	refs := make([]git.Ref, len(ids))
	for i, id := range ids {
		refs[i].ID = id
	}
	missing, err := set.git.Repo(m.Dir).Peel(ctx, refs)
	if err != nil {
		return // they are looked for again
	}
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.lacking)+len(ids) > maxLacking {
		clear(m.lacking)
	}
	for i, id := range ids {
		wait := min(set.Retry, time.Second)
		if slices.Contains(missing, i) {
			wait = set.Retry
		}
		m.lacking[id] = now.Add(wait)
	}
}

// Bounds of what a mirror remembers of commits, and of their paths, that clients asked about.
const (
	maxWithin  = 4096
	maxCommits = 4096
	maxPaths   = 4096
	maxLacking = 1024
)

// maxQuestions is how many git processes may be at work at once to find out what clients'
// words mean. Each is short.
const maxQuestions = 16

// question asks git what a client's words mean, when there is a place for it. The error
// may be ErrBusy.
func (m *Mirror) question(ctx context.Context, ask func() error) error {
	if err := m.questions.Acquire(ctx, m.Name.String()); err != nil {
		return err
	}
	defer m.questions.Release()
	return ask()
}

// HasPath reports whether a commit has that path. The answer is remembered, under a digest,
// since a path may be long.
func (m *Mirror) HasPath(ctx context.Context, set *settings, commit, path string) (bool, error) {
	key := shortDigest(commit + path)
	m.mu.Lock()
	answer, known := m.paths[key]
	m.mu.Unlock()
	if known {
		return answer, nil
	}
	err := m.question(ctx, func() (err error) {
		answer, err = set.git.Repo(m.Dir).HasPath(ctx, commit, path)
		return err
	})
	if err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.paths == nil || len(m.paths) >= maxPaths {
		m.paths = make(map[string]bool)
	}
	m.paths[key] = answer
	return answer, nil
}

// Contains reports whether a revision contains a commit. Both being fixed, the
// answer is remembered.
func (m *Mirror) Contains(ctx context.Context, set *settings, revision, commit string) (bool, error) {
	if revision == commit {
		return true, nil
	}
	key := [2]string{revision, commit}
	m.mu.Lock()
	answer, known := m.within[key]
	m.mu.Unlock()
	if known {
		return answer, nil
	}
	err := m.question(ctx, func() (err error) {
		answer, err = set.git.Repo(m.Dir).IsAncestor(ctx, commit, revision)
		return err
	})
	if errors.Is(err, git.ErrNotFound) {
		return false, nil // not yet: a pull may bring it
	}
	if err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.within == nil || len(m.within) >= maxWithin {
		m.within = make(map[[2]string]bool)
	}
	m.within[key] = answer
	return answer, nil
}

// Commit returns the commit that an object id leads to, and remembers it. If the
// mirror has none, the error is git.ErrNotFound.
func (m *Mirror) Commit(ctx context.Context, set *settings, id string) (string, error) {
	m.mu.Lock()
	commit, known := m.commits[id]
	m.mu.Unlock()
	if known {
		return commit, nil
	}
	err := m.question(ctx, func() (err error) {
		commit, err = set.git.Repo(m.Dir).Commit(ctx, id)
		return err
	})
	if err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.commits == nil || len(m.commits) >= maxCommits {
		m.commits = make(map[string]string)
	}
	m.commits[id] = commit
	return commit, nil
}

// seek notes that somebody looks for a commit that is lacking, and reports
// whether a pull is worth a try: not if one has just ended without bringing it.
func (m *Mirror) seek(commit string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Now().Before(m.lacking[commit]) {
		return false
	}
	if m.sought == nil {
		m.sought, m.lacking = make(map[string]bool), make(map[string]time.Time)
	}
	if len(m.sought) < maxLacking {
		m.sought[commit] = true
	}
	return true
}
