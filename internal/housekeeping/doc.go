// Package housekeeping decides what is done about mirrors without a request: when what was
// retained for long enough goes, when packs are repacked, and when all objects are read once.
// What is done is package mirror's; dates of it are in the mirrors' own files, so that a
// restart does not begin anew.
//
//	keeper.go     what is retained, and the run of all of it
//	repacker.go   packs, through queue.go
//	fscker.go     checks of all objects
//
// # Repacks
//
// Each pull that brings something leaves a pack. One worker repacks mirrors that have not been
// pulled for a second, beside the pulls that have nothing to write; one that has something to
// write ends the repack first, and it begins anew later. A mirror that is pushed to without a
// pause gets an incremental repack from a second worker, and the pull waits for that. Small
// mirrors become one pack, large ones a geometric series. Once a week, a mirror that has
// changed is repacked in full: unreachable objects go into a pack of their own, and are let go
// of when they are two weeks old. Readers need not be stopped: git looks again when a pack is
// gone. An hourly look at the packs of all mirrors finds those that were copied in.
//
// # Checks
//
// The mirror that was checked longest ago is next, and the checks are spread over the period.
// Pulls go on while a mirror is read; its packs are not repacked meanwhile. A check that could
// not run, because it was killed, had no memory, or met with files that it may not read, says
// nothing about the mirror.
package housekeeping
