package main

import (
	"archive/tar"
	"archive/zip"
	"errors"
	"io"
	"io/fs"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// encoding is the version of the bytes that the formats give for a tar. Whoever
// changes them (a level, a library) changes it too, because ETags and resumed
// downloads rely on it; TestEncodingIsPinned notices.
const encoding = "1"

// format is a way to pack an archive. git makes a tar of every commit; the rest is
// made here, so that the bytes do not depend on git's version.
type format struct {
	name        string // the value of the parameter format
	contentType string
	encode      func(dst io.Writer, makeTar func(io.Writer) error) error
}

var formats = []format{
	{"tar", "application/x-tar", func(dst io.Writer, makeTar func(io.Writer) error) error { return makeTar(dst) }},
	{"tar.gz", "application/gzip", encodeGzip},
	{"tar.zst", "application/zstd", encodeZstd},
	{"zip", "application/zip", encodeZip},
}

// findFormat returns the format of that name, or nil.
func findFormat(name string) *format {
	for i := range formats {
		if formats[i].name == name {
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

func zipOf(dst io.Writer, src io.Reader) error {
	out := zip.NewWriter(dst)
	out.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, gzipLevel) })
	in := tar.NewReader(src)
	for {
		entry, err := in.Next()
		if err == io.EOF {
			// What follows the last entry is part of the tar: read it, so that its
			// maker can finish.
			if _, err := io.Copy(io.Discard, src); err != nil {
				return err
			}
			return out.Close()
		}
		if err != nil {
			return err
		}
		if err := addToZip(out, entry, in); err != nil {
			return err
		}
	}
}

func addToZip(out *zip.Writer, entry *tar.Header, content io.Reader) error {
	h := &zip.FileHeader{Name: entry.Name, Modified: entry.ModTime.UTC(), Method: zip.Deflate}
	mode := fs.FileMode(entry.Mode).Perm()
	switch entry.Typeflag {
	case tar.TypeXGlobalHeader: // git writes the commit's id there
		return out.SetComment(entry.PAXRecords["comment"])
	case tar.TypeDir:
		h.Name, h.Method = strings.TrimSuffix(entry.Name, "/")+"/", zip.Store
		mode |= fs.ModeDir
	case tar.TypeSymlink:
		h.Method, content = zip.Store, strings.NewReader(entry.Linkname)
		mode = 0o777 | fs.ModeSymlink
	}
	h.SetMode(mode)
	w, err := out.CreateHeader(h)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, content)
	return err
}
