package logging

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/reconquest/sould/internal/errtext"
)

// maxRecord bounds one record and all lines below it, in bytes.
const maxRecord = 64 << 10

// record is what is written of an event. It shows no credentials.
type record struct {
	format  Format
	time    time.Time
	level   slog.Level
	message string // one line
	attrs   []attr
	tree    string // the lines below it; empty for none
}

// attr is an attribute of a record.
type attr struct{ key, value string }

// text renders a record in its format, without a line end. withTime is for Text only.
func (r record) text(withTime bool) string {
	if r.format == JSON {
		return r.json()
	}
	var b strings.Builder
	if withTime {
		b.WriteString(r.time.UTC().Format(time.RFC3339) + " ")
	}
	b.WriteString(r.level.String() + " " + r.message)
	for _, a := range r.attrs {
		b.WriteString(" " + a.key + "=" + quote(a.value))
	}
	for line := range strings.Lines(r.tree) {
		b.WriteString("\n    " + strings.TrimSuffix(line, "\n"))
	}
	return errtext.Clip(b.String(), maxRecord-len("…\n"))
}

// quote quotes a value unless it is one printable word.
func quote(s string) string {
	if s == "" || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r == ' ' || r == '"' || r == '=' || !strconv.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// json renders a record as an object in one line. A record that would be too long has its values
// cut off, and is still an object.
func (r record) json() string {
	for limit := maxRecord; ; limit /= 2 {
		if text := r.object(limit); len(text) < maxRecord || limit == 0 {
			return text
		}
	}
}

// object is json with values of limit bytes at most. If a key comes twice, the last one counts.
func (r record) object(limit int) string {
	fields := []attr{
		{"time", r.time.UTC().Format(time.RFC3339Nano)}, {"level", r.level.String()}, {"msg", r.message},
	}
	set := func(a attr) {
		for i := range fields {
			if fields[i].key == a.key {
				fields[i].value = a.value
				return
			}
		}
		fields = append(fields, a)
	}
	for _, a := range r.attrs {
		set(a)
	}
	if r.tree != "" {
		set(attr{TreeKey, r.tree})
	}
	var b bytes.Buffer
	separator := byte('{')
	for _, field := range fields {
		b.WriteByte(separator)
		separator = ','
		writeString(&b, field.key)
		b.WriteByte(':')
		writeString(&b, errtext.Clip(field.value, limit))
	}
	b.WriteByte('}')
	return b.String()
}

// writeString writes a string in JSON.
func writeString(b *bytes.Buffer, s string) {
	encoder := json.NewEncoder(b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // a string can always be encoded
	b.Truncate(b.Len() - len("\n"))
}
