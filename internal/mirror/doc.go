// Package mirror keeps bare repositories that are copies of others.
//
// A [Store] has all mirrors of a directory. Whoever reads one loads its [Snapshot], an
// immutable value that shows all refs of one pull. Whoever writes to one holds the lock of its
// name, and does so through the value that stands for that (held): pulls, repacks, checks,
// removals. A mirror is found on disk when somebody asks for it, so that one can be copied in
// or removed by hand meanwhile.
//
//	store.go, scan.go                        all mirrors: found, read, numbered
//	mirror.go, snapshot.go, query.go         one mirror, as readers see it
//	refresh.go                               whether a reader has it pulled first
//	held.go, state.go                        one mirror, as its writer has it; its own file
//	pull.go, transfer.go                     how it becomes what a source has
//	source.go, replicas.go                   the origin, and what helps while it is down
//	build.go, recover.go                     built aside: a new one, or instead of a damaged one
//	whole.go, refused.go                     whether its objects are all there; what git refuses of them
//	retention.go                             what is retained of what an origin has replaced
//	reservation.go, intent.go, progress.go   what requests want, and how far they are
//	repack.go, fsck.go, delete.go            what else writes
//
// # The pull
//
// It has separate steps, because git fetch --prune decides alone, deletes before it has
// fetched, and is not atomic.
//
//  1. List the origin's refs: for a pull that brings nothing new, the common one, this is
//     the only process.
//  2. Plan (package refs, pure): what to create, move and delete, which objects may be
//     missing, whether to refuse.
//  3. Fetch exactly these objects. If the origin has moved on meanwhile, from the top, three
//     times at most. What a tag leads to is looked up here, and not believed from the list.
//  4. Apply. All refs of a mirror are in its file packed-refs, which is written as git would
//     write it: lock, fsync, rename. So a change of any number of refs is one step, for every
//     reader and for a loss of power. HEAD is a second file: its change is noted in the
//     mirror's own file first, with a digest of the refs that it belongs to, and a start that
//     finds the note completes it if the refs are the new ones. git update-ref, instead, is
//     not atomic, cannot replace a by a/b in one transaction, and costs a process. The price:
//     packed-refs is read and written here (git-pack-refs(1)), and a reftable is refused.
//  5. Publish a new snapshot.
//
// A success means that everything is here that the origin held when it was asked for. So a
// request may not join a pull that has begun already, but all that wait share the next one
// (package coalesce). What requests ask beyond the name (an origin with credentials, a move,
// accepted deletions) must be equal in those that share a run.
//
// # When the origin is gone
//
// A pull whose origin cannot be reached asks its [Fallback] for replicas. One that has reached
// the origin since it was asked is a source like the origin, and the pull succeeds. Of others,
// what was pulled later than what is here is taken, and the pull has failed all the same. A
// replica that shows other refs than it has announced is not believed. Whoever asks replicas
// holds neither the mirror's lock nor a place for transfers, and a request of another server
// looks at the origin and nowhere else, in runs of its own: a ring of servers that have all
// lost an origin cannot wait for itself.
//
// # Recovery
//
// When git fails in words that damage would explain, the mirror is checked in full, at most
// once in ten minutes as long as nothing is found, and one mirror at a time. If it is damaged,
// it is rebuilt aside, from the origin or from a replica, and swapped; the old one serves what
// it can meanwhile. Refs that no source has, retained ones among them, are carried over as far
// as they can be read. What would be refused if nothing were damaged is refused, and so is an
// empty origin if nobody knows what the mirror had. An old mirror of which something could not
// be read goes to the trash in the step in which it changes places with the new one.
//
// # Retention
//
// What a pull deletes or replaces is written down below refs/sould/kept/ in the same
// packed-refs as the change itself: there is no moment in which it is lost. Whether a branch
// was replaced or only moved on, one git rev-list tells for all of them. A moved tag is always
// retained, and so is a detached HEAD that was the only name of its commit.
package mirror
