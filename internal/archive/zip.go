package archive

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/flate"
)

// zipMaker writes the entries of a tar as a zip. As in a zip of git archive, the sizes and the
// checksum stand before the content of all but large files: otherwise a program that reads a zip as
// a stream, such as Java's ZipInputStream, could not tell where stored bytes end.
type zipMaker struct {
	out      *zip.Writer
	deflater *flate.Writer // for all small files: making a new one takes longer than compressing
	raw      bytes.Buffer  // the content of a small file
	deflated bytes.Buffer  // the same, compressed
}

const (
	// maxHeld is the size of the largest file that is compressed in memory before it is written, in
	// bytes.
	maxHeld = 1 << 20

	// maxZipName is the longest name that a zip can hold, in bytes.
	maxZipName = 1<<16 - 1
)

// zipOf makes a zip of a tar.
func zipOf(dst io.Writer, src io.Reader) error {
	deflater, err := flate.NewWriter(nil, gzipLevel)
	if err != nil {
		return err
	}
	z := &zipMaker{out: zip.NewWriter(dst), deflater: deflater}
	// A large file has a compressor of its own: zip.Writer closes it only when the next entry begins.
	z.out.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, gzipLevel) })
	in := newTarReader(src)
	for {
		entry, err := in.next()
		if err == io.EOF {
			// Read the padding after the last entry, so that the maker of the tar can finish.
			if _, err := io.Copy(io.Discard, src); err != nil {
				return err
			}
			return z.out.Close()
		}
		if err != nil {
			return err
		}
		if err := z.add(entry, in); err != nil {
			return err
		}
	}
}

func (z *zipMaker) add(e tarEntry, content io.Reader) error {
	if len(e.name) > maxZipName {
		return fmt.Errorf("%.100q: the name has %d bytes, and no zip can hold more than %d", e.name, len(e.name), maxZipName)
	}
	mode := fs.FileMode(e.mode).Perm()
	switch e.kind {
	case tarComment:
		return z.out.SetComment(e.comment)
	case tarDir:
		_, err := z.out.CreateHeader(zipHeader(e, strings.TrimRight(e.name, "/")+"/", mode|fs.ModeDir))
		return err
	case tarSymlink:
		return z.store(zipHeader(e, e.name, 0o777|fs.ModeSymlink), e.link)
	case tarFile:
		h := zipHeader(e, strings.TrimRight(e.name, "/"), mode) // a slash would make it a directory
		if e.size > maxHeld {
			return z.stream(h, content)
		}
		return z.hold(h, content)
	default:
		return fmt.Errorf("%.100q: its kind %q is unknown", e.name, e.kind)
	}
}

func zipHeader(e tarEntry, name string, mode fs.FileMode) *zip.FileHeader {
	h := &zip.FileHeader{Name: name, Modified: e.modified.UTC(), Method: zip.Deflate}
	if utf8.ValidString(name) {
		h.Flags |= zipUTF8
	}
	h.SetMode(mode)
	return h
}

// stream compresses a file while it is read. Its sizes and checksum follow it.
func (z *zipMaker) stream(h *zip.FileHeader, content io.Reader) error {
	w, err := z.out.CreateHeader(h)
	if err == nil {
		_, err = io.Copy(w, content)
	}
	return err
}

// hold compresses a file in memory, or stores it if that makes it no smaller.
func (z *zipMaker) hold(h *zip.FileHeader, content io.Reader) error {
	z.raw.Reset()
	z.deflated.Reset()
	if _, err := z.raw.ReadFrom(content); err != nil {
		return err
	}
	z.deflater.Reset(&z.deflated)
	if _, err := z.deflater.Write(z.raw.Bytes()); err != nil {
		return err
	}
	if err := z.deflater.Close(); err != nil {
		return err
	}
	if z.deflated.Len() >= z.raw.Len() {
		return z.store(h, z.raw.Bytes())
	}
	return z.write(h, z.raw.Bytes(), z.deflated.Bytes())
}

// store writes a content uncompressed.
func (z *zipMaker) store(h *zip.FileHeader, content []byte) error {
	h.Method = zip.Store
	return z.write(h, content, content)
}

// write writes an entry. packed is its content in the form that it has in the zip.
func (z *zipMaker) write(h *zip.FileHeader, content, packed []byte) error {
	h.CRC32 = crc32.ChecksumIEEE(content)
	h.UncompressedSize64, h.CompressedSize64 = uint64(len(content)), uint64(len(packed))
	complete(h)
	w, err := z.out.CreateRaw(h)
	if err == nil {
		_, err = w.Write(packed)
	}
	return err
}

// Parts of a header (APPNOTE.TXT of PKWARE, and Info-ZIP's extra field for times).
const (
	zipUTF8    = 0x800 // the flag of a name in UTF-8
	zipVersion = 20    // the first version with directories and deflate
	zipTimeTag = 0x5455
)

// complete sets the fields of a header that CreateHeader sets by itself and CreateRaw does not.
func complete(h *zip.FileHeader) {
	h.CreatorVersion = h.CreatorVersion&0xff00 | zipVersion
	h.ReaderVersion = zipVersion
	h.ModifiedDate, h.ModifiedTime = dosTime(h.Modified) //lint:ignore SA1019 CreateRaw writes no other
	h.Extra = binary.LittleEndian.AppendUint16(h.Extra, zipTimeTag)
	h.Extra = binary.LittleEndian.AppendUint16(h.Extra, 5)
	h.Extra = append(h.Extra, 1) // only a time of modification follows
	h.Extra = binary.LittleEndian.AppendUint32(h.Extra, uint32(h.Modified.Unix()))
}

// dosTime returns a time in the form of MS-DOS, which is precise to two seconds.
func dosTime(t time.Time) (date, clock uint16) {
	date = uint16(t.Day() + int(t.Month())<<5 + (t.Year()-1980)<<9)
	clock = uint16(t.Second()/2 + t.Minute()<<5 + t.Hour()<<11)
	return date, clock
}
