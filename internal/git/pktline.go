package git

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Git's protocols consist of pkt-lines, which begin with their length, and of special packets,
// which are lengths that no line has (gitprotocol-common(5), gitprotocol-v2(5)).
const (
	maxPacket = 65520 // bytes, its length included

	pktFlush = "0000" // ends a message
	pktDelim = "0001" // separates the parts of a message
)

// errPacket is returned for a stream that does not consist of pkt-lines.
var errPacket = errors.New("it is not in git's pkt-line format")

// packetReader splits a stream into pkt-lines.
type packetReader struct {
	r   *bufio.Reader
	buf []byte
}

func newPacketReader(r io.Reader) *packetReader {
	return &packetReader{r: bufio.NewReaderSize(r, maxPacket)}
}

// next returns the next line, which is valid until the next call, or the length of a special
// packet. The error at the end is io.EOF.
func (p *packetReader) next() (line []byte, special string, err error) {
	var head [4]byte
	if _, err := io.ReadFull(p.r, head[:]); err == io.EOF {
		return nil, "", io.EOF
	} else if err != nil {
		return nil, "", fmt.Errorf("%w: it ends within a length", errPacket)
	}
	size, err := strconv.ParseUint(string(head[:]), 16, 16)
	switch {
	case err != nil, head[0] == '+':
		return nil, "", fmt.Errorf("%w: %q is no length", errPacket, head[:])
	case size < 2:
		return nil, string(head[:]), nil
	case size < 4 || size > maxPacket: // 0002 is used between git's helpers only
		return nil, "", fmt.Errorf("%w: no line has the length %q", errPacket, head[:])
	}
	if p.buf == nil {
		p.buf = make([]byte, maxPacket)
	}
	line = p.buf[:size-4]
	if _, err := io.ReadFull(p.r, line); err != nil {
		return nil, "", fmt.Errorf("%w: it ends within a line", errPacket)
	}
	return line, "", nil
}

// CheckPackets returns an error if a stream does not consist of whole pkt-lines.
func CheckPackets(r io.Reader) error {
	for p := newPacketReader(r); ; {
		if _, _, err := p.next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// appendPacket appends a pkt-line.
func appendPacket(to []byte, parts ...string) []byte {
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

// text is a line without its newline, which is optional.
func text(line []byte) string { return strings.TrimSuffix(string(line), "\n") }
