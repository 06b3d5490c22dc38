// Package archive makes archives of revisions, each once, in four formats, and keeps them: all
// who ask meanwhile follow one that is being made as it grows, and later ones are served
// from a file. What readers ask for again and again is made ahead, as soon as a pull has
// brought a newer revision.
//
//	archive.go      what decides about an archive's bytes: its key and its ETag
//	cache.go        made once, kept, bounded
//	prefetch.go     made ahead
//	format.go       tar, tar.gz, tar.zst
//	zip.go, tarreader.go   zip, made of git's tar
//
// Commit, format, path and prefix are all that decides about an archive's bytes, so that they
// are the same on every server. For that, archives are made through a neutral repository, an
// empty one of ours with the mirror's object directory: what a copied-in mirror's configuration
// or attributes say cannot change the bytes. Compressors are ours, with pinned levels;
// TestEncodingIsPinned notices when their bytes change, and then the constant encoding, which
// is part of the ETag, must change as well.
//
// Those who wait for an archive to be made take turns by mirror, so that a crowd at one does
// not keep out the others. One archive is bounded in bytes, time and git's memory: a tree of
// 100 kB can be a bomb. A failure is remembered for a while, so that what takes all that is
// not tried for every reader. If the disk is full, each reader gets a git archive of its own.
package archive
