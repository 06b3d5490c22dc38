package archive

import (
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// encoding is the version of the bytes that the formats make of a tar. It must change together with
// them (with a level, or a library), because ETags and resumed downloads rely on it.
// TestEncodingIsPinned fails when the bytes change.
const encoding = "2"

// Format is a format of archives. git makes a tar of every commit; this package makes the other
// formats of it, so that their compression does not depend on git's version.
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

// Tar is the default format.
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

// The levels are the defaults of gzip and zstd: fast enough to keep up with git.
const (
	gzipLevel = 6
	zstdLevel = zstd.SpeedDefault

	// zstdWorkers is fixed, so that the bytes do not depend on the machine.
	zstdWorkers = 2
)

func encodeGzip(dst io.Writer, makeTar func(io.Writer) error) error {
	w, err := gzip.NewWriterLevel(dst, gzipLevel)
	if err != nil {
		return err
	}
	if err := makeTar(w); err != nil {
		return err // without Close the file has no end, and cannot be mistaken for a whole one
	}
	return w.Close()
}

func encodeZstd(dst io.Writer, makeTar func(io.Writer) error) error {
	w, err := zstd.NewWriter(dst, zstd.WithEncoderLevel(zstdLevel), zstd.WithEncoderConcurrency(zstdWorkers))
	if err != nil {
		return err
	}
	if err := makeTar(w); err != nil {
		w.Reset(io.Discard) // stops the workers, and leaves the file without an end
		return errors.Join(err, w.Close())
	}
	return w.Close()
}

// encodeZip makes a zip of a tar, entry by entry, while the tar is made.
func encodeZip(dst io.Writer, makeTar func(io.Writer) error) error {
	from, to := io.Pipe()
	tarDone := make(chan error, 1)
	go func() {
		err := makeTar(to)
		to.CloseWithError(err)
		tarDone <- err
	}()
	err := zipOf(dst, from)
	from.CloseWithError(err) // stops the maker of the tar
	if tarErr := <-tarDone; err == nil || errors.Is(err, tarErr) {
		return tarErr
	}
	return err
}
