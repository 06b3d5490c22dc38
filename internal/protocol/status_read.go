package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/storage"
)

// Bounds of what another server may tell.
const (
	maxStatus        = 256 << 20 // bytes
	maxStatusPart    = 1 << 20   // bytes of a single field, or of a mirror
	maxStatusMirrors = 1_000_000 // those of its slaves counted
)

// ReadStatus reads the JSON of another server's status. It takes no more memory than
// for what it returns, whatever comes; and what it returns is fit to be shown as one's
// own. Names that cannot be a mirror's are left out, which is an error in the document.
func ReadStatus(from io.Reader, secrets []string) (*Status, error) {
	in := &meter{from: from, left: maxStatus}
	r := statusReader{in: in, json: json.NewDecoder(in), secrets: secrets}
	doc, err := r.document(0)
	if err == nil {
		if _, after := r.json.Token(); after != io.EOF {
			err = errors.New("something follows it")
		}
	}
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errors.New("its status breaks off in the middle")
	case err != nil:
		return nil, fmt.Errorf("its status is none: %w", errtext.RedactError(err, secrets))
	case doc.Role != "master" && doc.Role != "slave":
		return nil, errors.New("its status is none: it names no role")
	}
	return doc, nil
}

// meter bounds what is read, as a whole and for each part.
type meter struct {
	from       io.Reader
	left, part int64
}

func (m *meter) Read(p []byte) (n int, err error) {
	if m.left <= 0 {
		return 0, fmt.Errorf("it has more than %d bytes", maxStatus)
	}
	if m.part >= maxStatusPart {
		return 0, fmt.Errorf("a part of it has more than %d bytes", maxStatusPart)
	}
	n, err = m.from.Read(p[:min(int64(len(p)), m.left, maxStatusPart-m.part)])
	m.left, m.part = m.left-int64(n), m.part+int64(n)
	return n, err
}

// statusReader reads a status part by part. A decoder alone would hold all of it.
type statusReader struct {
	secrets []string // that no field may show
	in      *meter
	json    *json.Decoder
	mirrors int // that were read
}

func (r *statusReader) token() (json.Token, error) {
	r.in.part = 0
	return r.json.Token()
}

func (r *statusReader) value(v any) error {
	r.in.part = 0
	return r.json.Decode(v)
}

// list reads what stands between two delimiters; each reads one element of it.
func (r *statusReader) list(open, closing json.Delim, each func() error) error {
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
func (r *statusReader) object(field func(key string) (known bool, err error)) error {
	return r.list('{', '}', func() error {
		key, err := r.token()
		if err != nil {
			return err
		}
		name, _ := key.(string)
		known, err := field(name)
		if err == nil && !known {
			var other json.RawMessage
			err = r.value(&other)
		}
		return err
	})
}

// document reads what a server tells of itself, or of a slave below it.
func (r *statusReader) document(depth int) (*Status, error) {
	if depth > maxVia {
		return nil, errors.New("too many servers stand below each other")
	}
	d := &Status{}
	fields := map[string]any{
		"address": &d.Address, "role": &d.Role, "total": &d.Total, "id": &d.ID, "version": &d.Version,
		"loading": &d.Loading, "error": &d.Error, "hierarchical_error": &d.HierarchicalError,
		"patterns": &d.Patterns,
	}
	listed, refused := 0, error(nil)
	err := r.object(func(key string) (bool, error) {
		switch key {
		case "mirrors":
			return true, r.list('[', ']', func() error {
				listed++
				wrong, err := r.mirror(d)
				if refused == nil {
					refused = wrong
				}
				return err
			})
		case "upstream":
			var err error
			d.Upstream, err = r.upstream(depth)
			return true, err
		}
		field := fields[key]
		if field == nil {
			return false, nil
		}
		return true, r.value(field)
	})
	if err != nil {
		return nil, err
	}
	if listed > 0 && listed != d.Total {
		return nil, fmt.Errorf("it says that there are %d mirrors, and lists %d", d.Total, listed)
	}
	if d.Total < 0 {
		return nil, fmt.Errorf("it says that there are %d mirrors", d.Total)
	}
	for _, field := range []*string{&d.Address, &d.Role, &d.ID, &d.Version, &d.Error} {
		*field = errtext.SanitizeLine(*field, r.secrets)
	}
	for i := range d.Patterns {
		d.Patterns[i] = errtext.SanitizeLine(d.Patterns[i], r.secrets)
	}
	d.HierarchicalError = errtext.Sanitize(d.HierarchicalError, r.secrets)
	if refused != nil {
		refused = fmt.Errorf("%d of the mirrors that it lists are none: %w", listed-len(d.Mirrors), refused)
		d.Total = len(d.Mirrors) // or the next one who reads this would not believe it
		d.Error, d.HierarchicalError = errtext.Line(refused.Error()), errtext.Tree(refused)
	}
	return d, nil
}

// mirror reads one of a server's mirrors. refused says why it is left out.
func (r *statusReader) mirror(d *Status) (refused, err error) {
	if r.mirrors++; r.mirrors > maxStatusMirrors {
		return nil, fmt.Errorf("it lists more than %d mirrors", maxStatusMirrors)
	}
	var m Mirror
	if err := r.value(&m); err != nil {
		return nil, err
	}
	name, err := storage.ParseName(m.Name)
	if err == nil && slices.ContainsFunc(r.secrets, func(s string) bool { return strings.Contains(m.Name, s) }) {
		err = errors.New("a name must not be a token")
	}
	if err != nil {
		return errtext.RedactError(err, r.secrets), nil
	}
	d.Mirrors = append(d.Mirrors, m.sanitize(name, r.secrets))
	return nil, nil
}

// upstream reads what a master tells of its slaves. It is counted anew.
func (r *statusReader) upstream(depth int) (*Upstream, error) {
	slaves := []Status{}
	err := r.object(func(key string) (bool, error) {
		if key != "slaves" {
			return false, nil
		}
		return true, r.list('[', ']', func() error {
			slave, err := r.document(depth + 1)
			if err == nil {
				slaves = append(slaves, *slave)
			}
			return err
		})
	})
	return NewUpstream(slaves), err
}

// sanitize makes what another server tells of a mirror fit to be shown as one's own.
func (m Mirror) sanitize(name storage.Name, secrets []string) Mirror {
	m.Name = name.String()
	switch m.State {
	case Processing, Success, Failed:
	default:
		m.State = Unknown
	}
	for _, field := range []*string{&m.Origin, &m.Branch, &m.From, &m.Error, &m.CheckError} {
		*field = errtext.SanitizeLine(*field, secrets)
	}
	if !git.IsID(m.Revision) {
		m.Revision = ""
	}
	if !refs.IsFingerprint(m.Fingerprint) {
		m.Fingerprint = ""
	}
	m.ModifyDate, m.Refs = max(m.ModifyDate, 0), max(m.Refs, 0)
	if !isPlausible(m.WantedAt()) {
		m.Wanted = 0
	}
	m.Checked, m.Mended = max(m.Checked, 0), max(m.Mended, 0)
	m.Warnings = m.Warnings.Sane()
	for i, k := range m.Kept {
		if !git.IsID(k.Commit) {
			k.Commit = ""
		}
		m.Kept[i] = Retained{errtext.SanitizeLine(k.Ref, secrets), k.Commit, max(k.Date, 0)}
	}
	m.Nanoseconds = min(max(m.Nanoseconds, 0), 1e9-1)
	return m
}
