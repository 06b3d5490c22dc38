package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/git"
)

// What an origin replaces or deletes is kept for a time, so that nothing is lost to
// a mistaken force push: as refs of the mirror's own, which are not for clients, and
// which no garbage collection takes away. A ref refs/heads/x that one pull has taken
// away is kept as refs/sould/kept/<seconds>/heads/x. Every pull has a directory to
// itself, so that the names in it, which were beside each other before, fit.
const keptPrefix = keptRefs + "kept/"

// keptHead stands for HEAD below such a directory. No ref that a pull takes away is kept as
// that: refs/sould/ is not an origin's.
const keptHead = "sould/HEAD"

// keptRef is a ref that the origin has replaced or deleted.
type keptRef struct {
	Ref string    // its full name, or HEAD
	ID  string    // what it led to
	At  time.Time // when that was noticed
	dir string    // of the pull that did
}

// name is what the ref is kept as.
func (k keptRef) name() string {
	rest := strings.TrimPrefix(k.Ref, "refs/")
	if k.Ref == "HEAD" {
		rest = keptHead
	}
	return keptPrefix + k.dir + "/" + rest
}

// Bounds of what is kept of a mirror: each pull that changes something writes it anew.
const (
	maxKept       = 10_000 // refs; those that one pull has lost may be more
	maxKeptValues = 1_000  // of one ref, such as a tag that each build moves
)

// keepLimits say how much is kept of a mirror, and for how long.
type keepLimits struct {
	time         time.Duration
	refs, values int
}

// keepFor are the limits of a server that keeps things for so long.
func keepFor(span time.Duration) keepLimits { return keepLimits{span, maxKept, maxKeptValues} }

// keptAmong are the refs that are kept among a mirror's own, the oldest first.
func keptAmong(own []git.Ref) []keptRef {
	var kept []keptRef
	for _, ref := range own {
		if k, ok := parseKept(ref); ok {
			kept = append(kept, k)
		}
	}
	slices.SortStableFunc(kept, func(a, b keptRef) int {
		return cmp.Or(a.At.Compare(b.At), len(a.dir)-len(b.dir), strings.Compare(a.dir, b.dir)) // 100, 100-2, 100-10
	})
	return kept
}

// parseKept tells what a ref of the mirror's own keeps, if it does.
func parseKept(ref git.Ref) (k keptRef, ok bool) {
	rest, ok := strings.CutPrefix(ref.Name, keptPrefix)
	if !ok {
		return k, false
	}
	dir, name, _ := strings.Cut(rest, "/")
	text, _, _ := strings.Cut(dir, "-")
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || name == "" {
		return k, false
	}
	if name = "refs/" + name; name == "refs/"+keptHead {
		name = "HEAD"
	}
	return keptRef{name, cmp.Or(ref.Peeled, ref.ID), time.Unix(seconds, 0).UTC(), dir}, true
}

// keep is what a mirror's own refs become when these refs are lost now: what has been
// kept for long enough goes, and what there are too many of goes early. A ref that was
// lost with the same value before, as by an origin that flaps, is kept once.
func keep(own, lost []git.Ref, now time.Time, most keepLimits) (after []git.Ref, early int) {
	if most.time <= 0 {
		lost = nil
	}
	again := make(map[[2]string]bool)
	for _, ref := range lost {
		again[[2]string{ref.Name, ref.ID}] = true
	}
	own = slices.DeleteFunc(slices.Clone(own), func(ref git.Ref) bool {
		k, ok := parseKept(ref)
		return ok && (!k.At.Add(most.time).After(now) || again[[2]string{k.Ref, ref.ID}])
	})
	goes := crowdedOut(own, lost, most)
	taken := make(map[string]bool) // directories
	for _, ref := range own {
		if goes[ref.Name] {
			continue
		}
		if rest, ok := strings.CutPrefix(ref.Name, keptPrefix); ok { // whoever has made it
			dir, _, _ := strings.Cut(rest, "/")
			taken[dir] = true
		}
		after = append(after, ref)
	}
	dir := strconv.FormatInt(now.Unix(), 10)
	for i := 1; taken[dir]; i++ {
		dir = fmt.Sprintf("%d-%d", now.Unix(), i)
	}
	for _, ref := range lost {
		name := keptRef{Ref: ref.Name, dir: dir}.name()
		if !git.IsRefName(name) { // it was as long as a name can be
			name = keptPrefix + dir + "/too-long/" + ref.ID
		}
		ref.Name = name
		after = append(after, ref)
	}
	slices.SortFunc(after, func(a, b git.Ref) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(after, func(a, b git.Ref) bool { return a.Name == b.Name }), len(goes)
}

// crowdedOut names those of the mirror's own refs for which there is no place beside what
// is lost now. The latest stay. What one pull has lost has a place as long as there was
// one when it was lost, and goes as a whole when others have filled it since: a deletion
// of many refs that somebody has accepted by mistake can be undone as a whole.
func crowdedOut(own, lost []git.Ref, most keepLimits) map[string]bool {
	values := make(map[string]int) // of each ref
	for _, ref := range lost {
		values[ref.Name]++
	}
	goes := make(map[string]bool)
	stay, later, dir := len(lost), 0, ""
	for _, k := range slices.Backward(keptAmong(own)) {
		if k.dir != dir {
			dir, later = k.dir, stay
		}
		if values[k.Ref]++; values[k.Ref] > most.values || later >= most.refs {
			goes[k.name()] = true
		} else {
			stay++
		}
	}
	return goes
}

// moved is a ref that a plan gives another value.
type moved struct {
	from git.Ref
	to   []string // ids in whose history it may still be
}

// losses are the refs that a plan takes away, and those that it moves, of which only
// the history can tell whether anything is lost. A tag is not meant to move: whatever
// it becomes, it is lost. A HEAD that is detached may be the only name of its commit.
func losses(now git.Listing, p plan) (lost []git.Ref, asks []moved) {
	for _, name := range p.remove {
		if old, ok := now.Find(name); ok {
			lost = append(lost, old)
		}
	}
	for _, ref := range p.write {
		old, ok := now.Find(ref.Name)
		switch {
		case !ok:
		case strings.HasPrefix(old.Name, "refs/tags/"), old.Peeled != old.ID:
			lost = append(lost, old)
		default:
			asks = append(asks, moved{old, []string{ref.ID}})
		}
	}
	if old := now.Head; old.Detached() && !(&Snapshot{Listing: p.after}).names(old.ID) {
		head := moved{from: git.Ref{Name: "HEAD", ID: old.ID, Peeled: old.ID}}
		if p.after.Head.Detached() {
			head.to = append(head.to, p.after.Head.ID)
		}
		for _, ref := range p.after.Refs {
			head.to = append(head.to, ref.ID)
		}
		asks = append(asks, head)
	}
	return lost, asks
}

// kept is what the mirror's own refs become when a plan is carried out, for which the
// objects are there. A branch that was replaced by one of its descendants, or whose
// commit is in the history of another one that moved with it, needs no keeping. forward
// is the only ref that has moved, if the new value has the old one in its history.
func (m *Mirror) kept(ctx context.Context, set *settings, repo git.Repo, p plan) (own []git.Ref, forward string, err error) {
	lost, asks := losses(m.Snapshot().Listing, p)
	if set.Keep > 0 && len(asks) > 0 {
		reason := fmt.Errorf("not over within %s", set.FetchTimeout)
		limited, cancel := context.WithTimeoutCause(ctx, set.FetchTimeout, reason)
		defer cancel()
		replaced, err := replacedRefs(limited, repo, asks)
		if ctx.Err() != nil {
			return nil, "", context.Cause(ctx)
		}
		if len(asks) == 1 && len(replaced) == 0 && err == nil {
			forward = asks[0].from.Name
		}
		if err != nil { // in doubt, keep
			for _, ask := range asks {
				replaced = append(replaced, ask.from)
			}
		}
		lost = append(lost, replaced...)
	}
	return m.keep(lost, set), forward, nil
}

// keep is what the mirror's own refs become when these refs are lost now.
func (m *Mirror) keep(lost []git.Ref, set *settings) []git.Ref {
	own, early := keep(m.own, lost, time.Now(), keepFor(set.Keep))
	if early > 0 {
		m.log.Warn("too many refs are kept; the oldest go early", "mirror", m.Name, "refs", early)
	}
	return own
}

// replacedRefs are those refs whose old value is not in the history of a new one.
func replacedRefs(ctx context.Context, repo git.Repo, asks []moved) ([]git.Ref, error) {
	var olds, news, unsure []string
	for _, ask := range asks {
		olds, news = append(olds, ask.from.ID), append(news, ask.to...)
		if !strings.HasPrefix(ask.from.Name, "refs/heads/") {
			unsure = append(unsure, ask.from.ID)
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
		if gone[ask.from.ID] || others[ask.from.ID] {
			replaced = append(replaced, ask.from)
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
	all := joined(s.Refs, own)
	m.refs.Lock()
	err = repo.WriteRefs(all)
	m.refs.Unlock()
	if err != nil {
		return err
	}
	m.publish(set, git.Listing{Refs: all, Head: s.Head}, repo.Stamp())
	return nil
}
