package protocol

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unsafe"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/storage"
)

// ReadStatus reads the JSON of another server's status, within the bounds, and makes it fit to be
// shown. It takes no more memory than the status that it returns. Mirrors with invalid names are
// left out, and Error says so.
func ReadStatus(from io.Reader, secrets []string) (*Status, error) {
	r := newForeignReader(from, maxStatus, secrets)
	doc, err := r.document(0)
	if err == nil {
		err = r.end()
	}
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errors.New("its status breaks off in the middle")
	case err != nil:
		return nil, fmt.Errorf("its status is invalid: %w", errtext.RedactError(err, r.secrets))
	case doc.Role != "master" && doc.Role != "slave":
		return nil, errors.New("its status is invalid: it names no role")
	}
	return doc, nil
}

// document reads the status of a server. depth is the number of servers above it.
func (r *foreignReader) document(depth int) (*Status, error) {
	if err := r.countServer(depth); err != nil {
		return nil, err
	}
	d := &Status{}
	fields := map[string]any{
		"address": &d.Address, "role": &d.Role, "total": &d.Total, "id": &d.ID, "version": &d.Version,
		"loading": &d.Loading, "error": &d.Error, "hierarchical_error": &d.HierarchicalError,
		"patterns": &d.Patterns,
	}
	listed, firstRefused := 0, error(nil)
	var mirrors mirrorList
	err := r.object(func(key string) (bool, error) {
		switch key {
		case "mirrors":
			return true, r.list('[', ']', func() error {
				listed++
				refused, err := r.mirror(&mirrors, depth)
				if firstRefused == nil {
					firstRefused = refused
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
	d.Mirrors = mirrors.all()
	if listed > 0 && listed != d.Total {
		return nil, fmt.Errorf("it says that there are %d mirrors, and lists %d", d.Total, listed)
	}
	if d.Total < 0 {
		return nil, fmt.Errorf("it says that there are %d mirrors", d.Total)
	}
	for _, field := range []*string{&d.Address, &d.Role, &d.ID, &d.Version, &d.Error} {
		r.line(field)
	}
	for i := range d.Patterns {
		r.line(&d.Patterns[i])
	}
	d.HierarchicalError = errtext.Sanitize(d.HierarchicalError, r.secrets)
	if firstRefused != nil {
		err := fmt.Errorf("%d of its mirrors have invalid names: %w", listed-len(d.Mirrors), firstRefused)
		d.Total = len(d.Mirrors) // the next server that reads this checks it
		d.Error, d.HierarchicalError = errtext.Line(err.Error()), errtext.Tree(err)
	}
	return d, r.countSize(d.ownSize(depth))
}

// foreignMirror is a mirror in another server's status. Its retained refs are not for other
// servers.
type foreignMirror struct {
	Mirror
	Kept skipped `json:"kept"`
}

// mirrorList is a list that grows in parts, and is copied once, when it is whole: of a list of a hundred
// megabytes each copy counts.
type mirrorList struct {
	full [][]Mirror
	last []Mirror
}

func (l *mirrorList) add(m Mirror) {
	if len(l.last) == cap(l.last) {
		l.full, l.last = append(l.full, l.last), make([]Mirror, 0, min(max(2*cap(l.last), 16), 4096))
	}
	l.last = append(l.last, m)
}

// all returns the whole list; nil for an empty one.
func (l *mirrorList) all() []Mirror {
	if len(l.full) <= 1 {
		return l.last
	}
	return slices.Concat(append(l.full, l.last)...)
}

// mirror reads a mirror and adds it to the list. If it is left out, refused says why.
func (r *foreignReader) mirror(to *mirrorList, depth int) (refused, err error) {
	var m foreignMirror
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
	one := m.sanitize(name, r.secrets)
	to.add(one)
	return nil, r.countSize(one.size(depth))
}

// upstream reads the status of a master's slaves, and counts them again.
func (r *foreignReader) upstream(depth int) (*Upstream, error) {
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

// sanitize makes a mirror in another server's status fit to be shown.
func (m Mirror) sanitize(name storage.Name, secrets []string) Mirror {
	m.Name = name.String()
	switch m.State {
	case Processing, Success, Failed:
	default:
		m.State = Unknown
	}
	for _, field := range []*string{&m.Origin, &m.Branch, &m.From, &m.Error, &m.CheckError, &m.GoneBy} {
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
	if m.Pull != nil {
		pull := m.Pull.sanitize(secrets)
		m.Pull = &pull
	}
	for _, date := range []*int64{&m.Checked, &m.Mended, &m.HookBroken, &m.Gone, &m.LastRead} {
		*date = max(*date, 0)
	}
	m.Warnings = m.Warnings.Sanitize()
	m.Nanoseconds = min(max(m.Nanoseconds, 0), 1e9-1)
	return m
}

// Size is the size in bytes of the document and of those below it, by the measure of size.
func (d *Status) Size() int { return d.size(0) }

func (d *Status) size(depth int) int {
	all := d.ownSize(depth)
	for i := range d.Mirrors {
		all += d.Mirrors[i].size(depth)
	}
	if d.Upstream != nil {
		for i := range d.Upstream.Slaves {
			all += d.Upstream.Slaves[i].size(depth + 1)
		}
	}
	return all
}

// ownSize is the size without the mirrors and the servers below.
func (d *Status) ownSize(depth int) int {
	indent := serverIndent * (depth + 1)
	all := serverSize + 8*indent
	for _, text := range []string{d.Address, d.Role, d.ID, d.Version, d.Error, d.HierarchicalError} {
		all += size(text, indent)
	}
	for _, pattern := range d.Patterns {
		all += int(unsafe.Sizeof(pattern)) + size(pattern, indent)
	}
	return all
}

func (m *Mirror) size(depth int) int {
	all := mirrorSize + mirrorLines*serverIndent*(depth+1)
	for _, text := range []string{m.Name, m.Origin, m.Branch, m.Revision, m.Fingerprint, m.From, m.Error, m.CheckError, m.GoneBy} {
		all += size(text, 0)
	}
	if m.Pull != nil {
		all += progressSize + size(m.Pull.Words, 0) + size(m.Pull.From, 0) + progressLines*serverIndent*(depth+1)
	}
	for _, one := range m.Warnings {
		all += size(one.ID, 0) + size(one.Object, 0)
	}
	return all
}
