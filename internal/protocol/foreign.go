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

// Bounds of what another server may tell, in an answer as in a status.
const (
	MaxAnswer         = 1 << 20   // bytes of an answer to a POST or a DELETE
	maxStatus         = 128 << 20 // bytes of a status
	maxForeignPart    = 1 << 20   // bytes of a single field, or of a mirror
	maxForeignServers = 1000      // that it tells of
	maxForeignDepth   = maxVia    // servers below each other

	// maxForeignSize is what may be kept of it, by the measure of size.
	maxForeignSize = 128 << 20

	// MaxTogether is what may be kept and shown of all servers together in a status.
	MaxTogether = 4 * maxForeignSize

	// MaxReport is the same in the answer to a POST or a DELETE.
	MaxReport = 8 << 20
)

// The size of something foreign is the most that it can cost here: its memory, or the bytes that it
// takes when this server shows it with each line indented, whichever is more.
const (
	outcomeSize = int(unsafe.Sizeof(Outcome{}))
	serverSize  = int(unsafe.Sizeof(Status{}))
	mirrorSize  = int(unsafe.Sizeof(Mirror{}))

	serverIndent = 15 // bytes before a line, for each server above it
	mirrorLines  = 9
)

// size is what a text takes where each of its lines is indented so far. Encoders write six
// bytes for some.
func size(text string, indent int) int {
	escaped := 0
	for i := range len(text) {
		switch text[i] {
		case '<', '>', '&':
			escaped += 5
		case '\n':
			escaped += indent
		case '"', '\\', 0xe2: // the last one begins the line separators of Unicode
			escaped++
		}
	}
	return len(text) + escaped
}

// excess is why no more is read of what another server tells.
type excess struct{ words string }

func (e *excess) Error() string { return e.words }

func tooMuch(format string, args ...any) error { return &excess{fmt.Sprintf(format, args...)} }

// meter bounds what is read, as a whole and for each part.
type meter struct {
	from       io.Reader
	most       int64 // as a whole
	read, part int64 // so far
}

func (m *meter) Read(p []byte) (n int, err error) {
	if m.read >= m.most {
		// It may just be over.
		if n, err := m.from.Read(make([]byte, 1)); n == 0 {
			return 0, err
		}
		return 0, tooMuch("it has more than %d bytes", m.most)
	}
	if m.part >= maxForeignPart {
		return 0, tooMuch("a part of it has more than %d bytes", maxForeignPart)
	}
	n, err = m.from.Read(p[:min(int64(len(p)), m.most-m.read, maxForeignPart-m.part)])
	m.read, m.part = m.read+int64(n), m.part+int64(n)
	return n, err
}

// foreignReader reads what another server tells part by part, and no more than the bounds
// allow. A decoder alone would hold all of it, and more than what came.
type foreignReader struct {
	secrets []string // that no field may show
	in      *meter
	json    *json.Decoder
	servers int // that were read
	size    int // of what was read
}

func newForeignReader(from io.Reader, most int64, secrets []string) *foreignReader {
	in := &meter{from: from, most: most}
	return &foreignReader{secrets: secrets, in: in, json: json.NewDecoder(in)}
}

// end checks that nothing follows.
func (r *foreignReader) end() error {
	if _, err := r.token(); err != io.EOF {
		return errors.New("something follows it")
	}
	return nil
}

// enter counts a server that so many others stand above.
func (r *foreignReader) enter(depth int) error {
	r.servers++
	switch {
	case depth > maxForeignDepth:
		return tooMuch("more than %d servers stand below each other", maxForeignDepth)
	case r.servers > maxForeignServers:
		return tooMuch("it tells of more than %d servers", maxForeignServers)
	}
	return nil
}

// keep counts something that is kept.
func (r *foreignReader) keep(size int) error {
	if r.size += size; r.size > maxForeignSize {
		return tooMuch("it tells more than %d bytes can hold", maxForeignSize)
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

// skip passes over a value.
func (r *foreignReader) skip() error {
	var other skipped
	return r.value(&other)
}

// skipped is a value that nobody wants to know.
type skipped struct{}

func (*skipped) UnmarshalJSON([]byte) error { return nil }

// list reads what stands between two delimiters; each reads one element of it.
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

// object reads an object. Fields that are not known are passed over.
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

// line makes a field fit to be shown in one line.
func (r *foreignReader) line(field *string) { *field = errtext.SanitizeLine(*field, r.secrets) }

// CheckEncoding checks that an answer is not encoded. No server is asked to compress: what is
// small then might not stay so.
func CheckEncoding(answer http.Header, secrets []string) error {
	encoding := strings.TrimSpace(answer.Get("Content-Encoding"))
	if encoding == "" || strings.EqualFold(encoding, "identity") {
		return nil
	}
	return fmt.Errorf("it is encoded (%s), which nobody asked for", errtext.Clip(errtext.SanitizeLine(encoding, secrets), 40))
}
