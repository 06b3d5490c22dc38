// Package download sends what can be had of a mirror as a file: an archive of a commit, a bundle of refs,
// and the digest of either.
//
//	download.go    what a client wants, and who sends it
//	archive.go     an archive that is finished, or that the client has already
//	growing.go     an archive that is being made
//	bundle.go      a bundle
//	digest.go      a digest, as a header or as the answer
//	headers.go     what caches and browsers are told
//	error.go       why a client does not get what it wants
//
// The files are made and kept by the packages archive and pack, once for all clients. An archive is sent
// while it is made; a part of it (Range), and its digest, can only be sent when all of it is there. If there
// is no room to keep it, each client gets one of its own as git makes it. A bundle is sent when it is
// finished, because its ETag is the digest at its end: who resumes a download gets the rest of the same
// bytes, or all of other ones. Nothing is made for a HEAD.
//
// Each client reads at its own speed, but at least [conn.MaxPiece] bytes in a minute. How many are sent files
// at once is bounded by [conn.Limiter.AcquireSend]; who waits for a file to be made counts as well. Not
// counted are finished files of up to [conn.Quick] bytes.
//
// # Failures
//
// An error is returned only if nothing was written, so that the caller can answer with a status. A failure
// after the first byte can only be told by breaking off the connection: no client may take a part for the
// whole. So Send panics with [http.ErrAbortHandler] then, and also if the client has gone.
package download

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/reconquest/sould/internal/archive"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/pack"
)

// Sender sends files to clients. Its fields must not be changed after the first use. Its methods are safe
// for concurrent use.
type Sender struct {
	Archives   *archive.Cache
	Prefetcher *archive.Prefetcher // is told which archives of branches clients ask for
	Packs      *pack.Maker         // of bundles
	Conns      *conn.Limiter
	Log        *slog.Logger
	Life       context.Context // of the server: what is sent or made for a client ends with it
	Sent       Counters
}

// Counters are where a sender counts.
type Counters struct {
	Archives, Bundles *atomic.Uint64 // bytes that were sent of them, without headers
	Unmodified        *atomic.Uint64 // archives that clients had already
}

// Request is what a client wants, and what is known here of that.
type Request struct {
	archive.Request
	Mirror      *mirror.Mirror
	Revision    archive.Revision // to which the ref leads
	ExportSubst bool             // $Format:…$ is expanded in archives
	Public      bool             // caches that several people share may keep the answer
}

// Send answers a GET or HEAD, whose Range must be in the form of [conditional.WithRange]. The error is an
// *Error, conn.ErrSending or limiter.ErrBusy if there are too many clients, respond.ErrOtherVersion,
// archive.ErrNoSum, git.ErrNoPath, mirror.ErrUnknownRef, the cause of the end of Life, or that of making or
// reading the file.
func (s *Sender) Send(w http.ResponseWriter, r *http.Request, req Request) error {
	if req.Bundle {
		return s.sendBundle(w, r, req)
	}
	return s.sendArchive(w, r, req)
}
