// Package pktline reads and writes what git's protocols consist of: lines that begin with
// their length, and some lengths that no line has (gitprotocol-common(5), gitprotocol-v2(5)).
package pktline

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// MaxPacket is the longest line, in bytes, its length included.
const MaxPacket = 65520

// The special packets, which have no line.
const (
	Flush = "0000" // the end of a message
	Delim = "0001" // between its parts
)

// ErrFormat is returned for what is no pkt-line.
var ErrFormat = errors.New("it is not in git's pkt-line format")

// Reader takes a stream apart.
type Reader struct {
	r    *bufio.Reader
	last int // the length of the packet that was returned last, in bytes
}

// NewReader returns a reader of a stream.
func NewReader(r io.Reader) *Reader { return &Reader{r: bufio.NewReaderSize(r, MaxPacket)} }

// Reset has the reader read another stream.
func (p *Reader) Reset(r io.Reader) {
	p.r.Reset(r)
	p.last = 0
}

// Next returns the next line, which is valid until the next call, or a special packet by its
// length alone. The error at the end is io.EOF.
func (p *Reader) Next() (line []byte, special string, err error) {
	_, _ = p.r.Discard(p.last) // it is in the buffer
	p.last = 0
	head, err := p.r.Peek(4)
	if err != nil && len(head) == 0 && errors.Is(err, io.EOF) {
		return nil, "", io.EOF
	} else if err != nil {
		return nil, "", fmt.Errorf("%w: it ends within a length", ErrFormat)
	}
	size, err := strconv.ParseUint(string(head), 16, 16)
	switch {
	case err != nil, head[0] == '+':
		return nil, "", fmt.Errorf("%w: %q is not a length", ErrFormat, head)
	case size < 2:
		p.last = 4
		return nil, string(head), nil
	case size < 4 || size > MaxPacket: // 0002 is what one of git's helpers says to another
		return nil, "", fmt.Errorf("%w: no line has the length %q", ErrFormat, head)
	}
	packet, err := p.r.Peek(int(size))
	if err != nil {
		return nil, "", fmt.Errorf("%w: it ends within a line", ErrFormat)
	}
	p.last = int(size)
	return packet[4:], "", nil
}

// Append appends a packet whose line consists of these parts.
func Append(to []byte, parts ...string) []byte {
	size := 4
	for _, part := range parts {
		size += len(part)
	}
	to = fmt.Appendf(to, "%04x", size)
	for _, part := range parts {
		to = append(to, part...)
	}
	return to
}

// Text is a line without its end, which is optional.
func Text(line []byte) string { return strings.TrimSuffix(string(line), "\n") }

// Check checks that a stream consists of packets, the last of which is whole.
func Check(r io.Reader) error {
	for p := NewReader(r); ; {
		if _, _, err := p.Next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}
