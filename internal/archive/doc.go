// Package archive makes archives of revisions in four formats, each archive once, and keeps them.
// Clients that ask for an archive while it is made follow it as it grows; later clients get it from
// a file. Archives that clients ask for again and again are made ahead, as soon as a pull has
// brought a newer revision.
//
//	request.go             what a client asks for
//	archive.go             an archive, its ETag, and the revision of a ref
//	paths.go               the parts of a commit that an archive is limited to
//	cache.go               makes archives once, within bounds, and keeps them
//	reader.go              reads archives, and computes their digests
//	digest.go, sums.go     a digest, and when it is believed
//	file.go                the digests of what other packages keep beside the archives
//	prefetch.go            makes archives ahead
//	format.go              tar, tar.gz, tar.zst
//	zip.go, tarreader.go   zip, made of git's tar
//
// An archive's bytes depend on nothing but commit, format, path and prefix (and on the mirror's
// refs, where $Format:…$ is expanded), so that they are the same on every server. For that,
// archives are made through a neutral repository: an empty one of sould's own with the mirror's
// object directory. So the configuration and attributes of a copied-in mirror cannot change the
// bytes. The compressors are sould's own, with pinned levels. If TestEncodingIsPinned fails, their
// bytes have changed; then the constant encoding, a part of the ETag, must change as well.
//
// Clients that wait for an archive to be made take turns by mirror, so that a crowd at one mirror
// does not keep out the others. One archive is bounded in bytes, time and git's memory: a tree of
// 100 kB can be a bomb. A failure is remembered for a while, so that such a tree is not tried
// again for each client. If the disk is full, each client gets a git archive of its own.
//
// The digest of an archive is computed once. A small archive is hashed while it is made, and so is
// one that a client waits for as a whole, or that is made ahead. A larger archive is hashed when it
// is finished: hashing takes a third as long as git archive does, and the first reader must not wait
// for it. After a restart a file is hashed again, because it may have been changed. A digest is sent
// only while the file's stamp (inode, size, times) says that nobody has changed the file. If somebody
// has, the archive is made again.
package archive
