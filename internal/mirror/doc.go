// Package mirror keeps bare repositories that are copies of others.
//
// A [Store] has all mirrors of a directory. A reader of a mirror loads its [Snapshot], an
// immutable value that shows all refs of one pull. A writer (a pull, a repack, a check, a
// removal) holds the lock of the mirror's name and works through the value that stands for
// that lock, a held. The store looks for a mirror on disk whenever somebody asks for it, so an
// operator can copy mirrors in or remove them at any time.
//
//	store.go, scan.go                        all mirrors: finding and reading them
//	mirror.go, snapshot.go                   one mirror, as its readers see it
//	query.go, holds.go                       what readers ask about its commits
//	refresh.go                               whether a read pulls first
//	held.go, state.go, statefile.go          one mirror, as its writer sees it; its state file
//	pull.go, transfer.go                     the pull
//	source.go, replicas.go                   the origin, and the replicas that stand in for it
//	build.go, recover.go                     new mirrors, and new ones in place of damaged ones
//	growing.go, incoming.go                  what readers have of a new one before it stands
//	whole.go, refused.go                     missing objects, and objects that git refuses
//	retention.go                             refs that the origin has replaced
//	reservation.go, intent.go, progress.go   what requests want, and how far they are
//	journal.go                               what is remembered of requests and pulls
//	hook.go, pauses.go                       hooks that seem broken; hosts that want to be left alone
//	stats.go                                 what is counted
//	repack.go, fsck.go, delete.go            the other writers
//
// # The pull
//
// A pull has separate steps. git fetch --prune would decide alone, delete before it has
// fetched, and not be atomic.
//
//  1. List the origin's refs. A pull that brings nothing new, the common case, starts no other
//     process, and mostly not even this one over http and https.
//  2. Plan (package refs, pure): which refs to create, move and delete, which objects may be
//     missing, whether to refuse.
//  3. Fetch exactly these objects. If the origin has moved on meanwhile, start again from the
//     list, three times at most. The objects that tags lead to are looked up here; the list is
//     not trusted for that.
//  4. Apply. All refs of a mirror are in one file, packed-refs. It is written as git writes
//     it: lock, fsync, rename. So any number of refs changes in one step, for every reader and
//     for a loss of power. HEAD is a second file: its change is first recorded in the state
//     file, with a digest of the refs that belong to it. A start that finds this record
//     completes the change if the refs are the new ones. git update-ref is not atomic, cannot
//     replace the ref a by a/b in one transaction, and costs a process. The price is that this
//     package reads and writes packed-refs (git-pack-refs(1)), and refuses a reftable.
//  5. Publish a new snapshot.
//
// A pull that finds nothing new reads no directory and writes no file anew: that refs and packs are
// as they were, stats of the files tell (git.Repo.HasStamp), and the dates in the state file are
// overwritten (statefile.go). They are on disk all the same when it succeeds.
//
// A success means that the mirror has everything that the origin had when the request came. So
// a request cannot join a pull that has already begun; all requests that wait share the next
// pull (package coalesce). Requests share a pull only if they also agree on the rest: an origin
// with credentials, a move, accepted deletions.
//
// # When the origin is gone
//
// If a pull cannot reach its origin, it asks its [Fallback] for replicas. A replica that has
// reached the origin since it was asked is as good a source as the origin, and the pull
// succeeds. Another replica is used if its last pull is later than this mirror's, but then the
// pull has failed all the same. A replica that shows other refs than it has announced is not
// believed.
//
// A pull that asks replicas holds neither the mirror's lock nor a place for transfers. A
// request from another server asks only the origin, and has runs of its own. So servers that
// ask each other in a ring, and have all lost an origin, cannot wait for each other.
//
// # Recovery
//
// When git fails with an error that damage would explain, the mirror is checked in full: one
// mirror at a time, and at most once in ten minutes as long as nothing is found. A damaged
// mirror is rebuilt in another directory, from the origin or from a replica, and swapped; the
// old one serves what it can meanwhile. Refs that no source has, retained ones among them, are
// carried over if they can be read. Deletions that would be refused for a sound mirror are
// refused here too, and so is an empty origin if nobody knows what the mirror had. If a part of
// the old mirror could not be read, the old mirror goes to the trash in the step that installs
// the new one.
//
// # Retention
//
// Refs that a pull deletes or replaces are written below refs/sould/kept/, in the same write of
// packed-refs as the change itself, so they are never lost in between. One git rev-list tells
// for all branches whether they were replaced or only moved on. A moved tag is always retained,
// and so is a detached HEAD that was the only name of its commit.
package mirror
