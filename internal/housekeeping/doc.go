// Package housekeeping decides what is done about mirrors without a request: when retained refs
// and removed mirrors expire, when packs are repacked, and when all objects are checked. The work
// itself is package mirror's. Its dates are in the mirrors' state files, so a restart does not
// begin again.
//
//	keeper.go     expiry, and the workers
//	repacker.go   repacks, through queue.go
//	fscker.go     checks of all objects
//
// # Repacks
//
// Each pull that brings something leaves a pack. One worker repacks mirrors that have not been
// pulled for a second. Pulls that have nothing to write go on meanwhile; one that has something
// to write ends the repack, which begins again later. A mirror that is pushed to without a pause
// gets an incremental repack from a second worker, and its pulls wait for that. Small mirrors
// become one pack, large ones a geometric series of packs. A mirror that has changed is repacked
// in full once a week: unreachable objects go into a pack of their own, and are removed when they
// are two weeks old. Readers need not stop: git reads the list of packs again when a pack is
// gone. An hourly scan of all mirrors finds packs that were copied in.
//
// # Checks
//
// The mirror with the oldest check is next, and the checks are spread over the period. Pulls go
// on while a mirror is checked; repacks do not. A check that failed because it was killed, had no
// memory, or may not read a file says nothing about the mirror.
package housekeeping
