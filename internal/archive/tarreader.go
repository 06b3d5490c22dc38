package archive

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// tarReader reads a tar that git archive has made: ustar, with pax headers for values that do not
// fit (pax(1), and archive-tar.c of git). archive/tar cannot read all of them: it refuses a pax
// header of more than 1 MiB and a name with a NUL, and git makes both.
type tarReader struct {
	src  *bufio.Reader
	left int64 // bytes of the entry's content that were not read yet
	fill int64 // bytes of padding after the content, up to the next block
}

// tarEntry is an entry of a tar.
type tarEntry struct {
	kind     byte // one of the kinds below
	name     string
	link     []byte // the target of a symbolic link
	mode     int64
	modified time.Time
	size     int64
	comment  string // of tarComment: git writes the commit's id
}

// The kinds of entries that git makes.
const (
	tarFile    = '0'
	tarSymlink = '2'
	tarDir     = '5'
	tarComment = 'g' // a pax header for all entries that follow
	tarPax     = 'x' // a pax header for the next entry
)

const (
	tarBlock = 512

	// maxPax bounds a pax header, in bytes. It has a name and the target of a symbolic link, and is
	// read into memory; a link's target can be any file that somebody has committed.
	maxPax = 64 << 20
)

func newTarReader(src io.Reader) *tarReader {
	return &tarReader{src: bufio.NewReaderSize(src, 64<<10)}
}

// next goes to the next entry, whose content can then be read. After the last entry the error is
// io.EOF.
func (t *tarReader) next() (tarEntry, error) {
	var records paxRecords
	var tooLarge int64
	for {
		if _, err := io.CopyN(io.Discard, t.src, t.left+t.fill); err != nil {
			return tarEntry{}, cutOff(err)
		}
		e, err := t.header()
		if err != nil {
			return e, err
		}
		t.left, t.fill = e.size, (tarBlock-e.size%tarBlock)%tarBlock
		switch {
		case e.kind == tarPax && e.size > maxPax:
			tooLarge = e.size // the next entry has the name for the error
		case e.kind == tarPax, e.kind == tarComment:
			if records, err = t.records(); err != nil {
				return e, err
			}
		case tooLarge > 0:
			return e, fmt.Errorf("%.100q: its name and what it links to have %d bytes; a zip is made of %d at most", e.name, tooLarge, maxPax)
		default:
			err := records.complete(&e)
			t.left, t.fill = e.size, (tarBlock-e.size%tarBlock)%tarBlock
			return e, err
		}
		if e.kind == tarComment {
			e.comment = string(records["comment"])
			return e, nil
		}
	}
}

// Read reads the entry's content.
func (t *tarReader) Read(p []byte) (int, error) {
	if t.left == 0 {
		return 0, io.EOF
	}
	n, err := t.src.Read(p[:min(int64(len(p)), t.left)])
	t.left -= int64(n)
	if t.left > 0 {
		err = cutOff(err)
	}
	return n, err
}

// header reads the block at the beginning of an entry. A block of zeros ends the tar.
func (t *tarReader) header() (e tarEntry, err error) {
	var block [tarBlock]byte
	if _, err := io.ReadFull(t.src, block[:]); err != nil {
		return e, cutOff(err)
	}
	if block == [tarBlock]byte{} {
		return e, io.EOF
	}
	if string(block[257:262]) != "ustar" {
		return e, errors.New("the tar has a block that begins no entry")
	}
	e.kind = block[156]
	e.name = tarText(block[:100])
	if prefix := tarText(block[345:500]); prefix != "" {
		e.name = prefix + "/" + e.name
	}
	e.link = []byte(tarText(block[157:257]))
	mode, err := tarNumber(block[100:108])
	size, sizeErr := tarNumber(block[124:136])
	seconds, timeErr := tarNumber(block[136:148])
	e.mode, e.size, e.modified = mode, size, time.Unix(seconds, 0)
	return e, errors.Join(err, sizeErr, timeErr)
}

// tarText returns a field of a header without the NUL that ends it unless it is full.
func tarText(field []byte) string {
	text, _, _ := bytes.Cut(field, []byte{0})
	return string(text)
}

func tarNumber(field []byte) (int64, error) {
	n, err := strconv.ParseUint(strings.Trim(tarText(field), " "), 8, 63)
	if err != nil {
		return 0, fmt.Errorf("the tar has a field that is not a number: %w", err)
	}
	return int64(n), nil
}

// paxRecords are the records of a pax header.
type paxRecords map[string][]byte

// records reads the content of a pax header. Each record is "<length> <key>=<value>\n", where the
// length is that of the whole record, so that a value may have any bytes.
func (t *tarReader) records() (paxRecords, error) {
	rest, err := io.ReadAll(t)
	if err != nil {
		return nil, err
	}
	records := make(paxRecords)
	for len(rest) > 0 {
		digits, _, _ := bytes.Cut(rest[:min(len(rest), 20)], []byte(" "))
		length, err := strconv.Atoi(string(digits))
		if err != nil || length < len(digits)+2 || length > len(rest) || rest[length-1] != '\n' {
			return nil, errors.New("the tar has a malformed pax header")
		}
		key, value, ok := bytes.Cut(rest[len(digits)+1:length-1], []byte("="))
		if !ok {
			return nil, errors.New("the tar has a malformed pax header")
		}
		records[string(key)], rest = value, rest[length:]
	}
	return records, nil
}

// complete sets the values of an entry that did not fit into its own header.
func (r paxRecords) complete(e *tarEntry) (err error) {
	if name, ok := r["path"]; ok {
		e.name = string(name)
	}
	if link, ok := r["linkpath"]; ok {
		e.link = link
	}
	if size, ok := r["size"]; ok {
		if e.size, err = strconv.ParseInt(string(size), 10, 64); err != nil || e.size < 0 {
			return fmt.Errorf("%.100q: its size %.40q is invalid", e.name, size)
		}
	}
	return nil
}

// cutOff turns an end where more must follow into an error.
func cutOff(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
