package archive

import (
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// encoding is the version of the bytes that the formats give for a tar. Whoever
// changes them (a level, a library) changes it too, because ETags and resumed
// downloads rely on it; TestEncodingIsPinned notices.
const encoding = "2"

// Format is a way to pack an archive. git makes a tar of every commit; the rest is
// made here, so that the bytes do not depend on git's version.
type Format struct {
	Name        string // the value of the parameter format
	ContentType string
	encode      func(dst io.Writer, makeTar func(io.Writer) error) error
}

var formats = []Format{
	{"tar", "application/x-tar", func(dst io.Writer, makeTar func(io.Writer) error) error { return makeTar(dst) }},
	{"tar.gz", "application/gzip", encodeGzip},
	{"tar.zst", "application/zstd", encodeZstd},
	{"zip", "application/zip", encodeZip},
}

// Tar is the plainest format.
var Tar = &formats[0]

// FindFormat returns the format of that name, or nil.
func FindFormat(name string) *Format {
	for i := range formats {
		if formats[i].Name == name {
			return &formats[i]
		}
	}
	return nil
}

// Levels as of the original tools: fast enough to keep up with git.
const (
	gzipLevel = 6
	zstdLevel = zstd.SpeedDefault

	// zstdWorkers is fixed: it must not depend on the machine.
	zstdWorkers = 2
)

func encodeGzip(dst io.Writer, makeTar func(io.Writer) error) error {
	w, err := gzip.NewWriterLevel(dst, gzipLevel)
	if err != nil {
		return err
	}
	if err := makeTar(w); err != nil {
		return err // without an end, nobody takes the part for the whole
	}
	return w.Close()
}

func encodeZstd(dst io.Writer, makeTar func(io.Writer) error) error {
	w, err := zstd.NewWriter(dst, zstd.WithEncoderLevel(zstdLevel), zstd.WithEncoderConcurrency(zstdWorkers))
	if err != nil {
		return err
	}
	if err := makeTar(w); err != nil {
		w.Reset(io.Discard) // ends its workers without writing an end
		return errors.Join(err, w.Close())
	}
	return w.Close()
}

// encodeZip makes a zip of a tar, entry by entry.
func encodeZip(dst io.Writer, makeTar func(io.Writer) error) error {
	from, to := io.Pipe()
	made := make(chan error, 1)
	go func() {
		err := makeTar(to)
		to.CloseWithError(err)
		made <- err
	}()
	err := zipOf(dst, from)
	from.CloseWithError(err) // the tar is of no use any more
	if madeErr := <-made; err == nil || errors.Is(err, madeErr) {
		return madeErr
	}
	return err
}
