package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unsafe"

	"github.com/reconquest/sould/internal/errtext"
)

// Bounds of what is read from another server: an answer or a status.
const (
	MaxAnswer         = 1 << 20   // bytes of an answer to a POST or a DELETE
	maxStatus         = 128 << 20 // bytes of a status
	maxForeignPart    = 1 << 20   // bytes of a single field, or of a mirror
	maxForeignServers = 1000      // servers in it
	maxForeignDepth   = maxVia    // levels of servers below each other
	maxForeignSize    = 128 << 20 // its size, by the measure below

	// MaxTogether is the size of all servers' statuses together that a status may contain.
	MaxTogether = 4 * maxForeignSize

	// MaxReport is the same for the outcomes in the answer to a POST or a DELETE.
	MaxReport = 8 << 20
)

// The size of something foreign is an upper bound of its cost here, in bytes: of its memory, or of
// its rendered text with each line indented, whichever is more.
const (
	outcomeSize = int(unsafe.Sizeof(Outcome{}))
	serverSize  = int(unsafe.Sizeof(Status{}))
	mirrorSize  = int(unsafe.Sizeof(Mirror{}))

	progressSize = int(unsafe.Sizeof(Progress{}))

	serverIndent = 15 // bytes before a line, for each server above it
	mirrorLines  = 10 // of a rendered mirror

	progressLines = 9 // of a rendered pull, in TOML
)

// size is the size of a text whose lines are indented by so many bytes. Encoders write up to six
// bytes for one of some characters.
func size(text string, indent int) int {
	escaped := 0
	for i := range len(text) {
		switch text[i] {
		case '<', '>', '&':
			escaped += 5
		case '\n':
			escaped += indent
		case '"', '\\', 0xe2: // 0xe2 begins the line separators of Unicode
			escaped++
		}
	}
	return len(text) + escaped
}

// excess is the error for something foreign that exceeds a bound: nothing more of it is read.
type excess struct{ words string }

func (e *excess) Error() string { return e.words }

func tooMuch(format string, args ...any) error { return &excess{fmt.Sprintf(format, args...)} }

// meter bounds the bytes that are read, in all and for each part.
type meter struct {
	from  io.Reader
	limit int64 // bytes in all
	read  int64 // bytes so far
	part  int64 // bytes so far of the current part
}

func (m *meter) Read(p []byte) (n int, err error) {
	if m.read >= m.limit {
		if n, err := m.from.Read(make([]byte, 1)); n == 0 { // it may end just here
			return 0, err
		}
		return 0, tooMuch("it has more than %d bytes", m.limit)
	}
	if m.part >= maxForeignPart {
		return 0, tooMuch("a part of it has more than %d bytes", maxForeignPart)
	}
	n, err = m.from.Read(p[:min(int64(len(p)), m.limit-m.read, maxForeignPart-m.part)])
	m.read, m.part = m.read+int64(n), m.part+int64(n)
	return n, err
}

// foreignReader reads JSON of another server part by part, within the bounds. A json.Decoder alone
// would hold all of it, in more memory than it has bytes.
type foreignReader struct {
	secrets []string // no field may show them
	in      *meter
	json    *json.Decoder
	servers int // read so far
	size    int // of all that is kept so far
}

func newForeignReader(from io.Reader, limit int64, secrets []string) *foreignReader {
	in := &meter{from: from, limit: limit}
	return &foreignReader{secrets: secrets, in: in, json: json.NewDecoder(in)}
}

// end checks that nothing follows the document.
func (r *foreignReader) end() error {
	if _, err := r.token(); err != io.EOF {
		return errors.New("something follows it")
	}
	return nil
}

// countServer counts a server. depth is the number of servers above it.
func (r *foreignReader) countServer(depth int) error {
	r.servers++
	switch {
	case depth > maxForeignDepth:
		return tooMuch("more than %d servers stand below each other", maxForeignDepth)
	case r.servers > maxForeignServers:
		return tooMuch("it lists more than %d servers", maxForeignServers)
	}
	return nil
}

// countSize counts the size of something that is kept.
func (r *foreignReader) countSize(size int) error {
	if r.size += size; r.size > maxForeignSize {
		return tooMuch("it tells more than fits into %d bytes", maxForeignSize)
	}
	return nil
}

func (r *foreignReader) token() (json.Token, error) {
	r.in.part = 0
	return r.json.Token()
}

func (r *foreignReader) value(v any) error {
	r.in.part = 0
	return r.json.Decode(v)
}

// skip skips a value.
func (r *foreignReader) skip() error {
	var other skipped
	return r.value(&other)
}

// skipped is a value that is decoded into nothing.
type skipped struct{}

func (*skipped) UnmarshalJSON([]byte) error { return nil }

// list reads the elements between two delimiters. each reads one element.
func (r *foreignReader) list(open, closing json.Delim, each func() error) error {
	token, err := r.token()
	if err == nil && token != open {
		err = fmt.Errorf("there is no %s where one belongs", open)
	}
	for err == nil && r.json.More() {
		err = each()
	}
	if err != nil {
		return err
	}
	if token, err = r.token(); err == nil && token != closing {
		err = fmt.Errorf("there is no %s where one belongs", closing)
	}
	return err
}

// object reads an object. field reads the value of a key that it knows; others are skipped.
func (r *foreignReader) object(field func(key string) (known bool, err error)) error {
	return r.list('{', '}', func() error {
		key, err := r.token()
		if err != nil {
			return err
		}
		name, _ := key.(string)
		known, err := field(name)
		if err == nil && !known {
			err = r.skip()
		}
		return err
	})
}

// line makes a field one line that is fit to be shown.
func (r *foreignReader) line(field *string) { *field = errtext.SanitizeLine(*field, r.secrets) }

// CheckEncoding checks that an answer is not encoded. No server is asked to compress, because a
// small answer could then become a large one.
func CheckEncoding(answer http.Header, secrets []string) error {
	encoding := strings.TrimSpace(answer.Get("Content-Encoding"))
	if encoding == "" || strings.EqualFold(encoding, "identity") {
		return nil
	}
	return fmt.Errorf("it is encoded (%s), which nobody asked for", errtext.Clip(errtext.SanitizeLine(encoding, secrets), 40))
}
