// Package logging writes a log for people and journals: one line for each record, and the tree of
// reasons below it. A caller never waits long for a stuck log, and no record shows a password.
package logging

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
)

// TreeKey is the key of an attribute whose value has several lines, which are written below the
// record. Errors are written there as well, each as a tree of reasons.
const TreeKey = "tree"

// New returns a log that writes to w.
//
//	2026-01-02T15:04:05Z ERROR can't pull mirror=dev/configs
//	    can't fetch
//	    └─ fatal: unable to access 'https://git.in.local/x.git/': …
//
// The time is left out if the log goes to the journal, which records it itself.
func New(w io.Writer) *slog.Logger {
	_, journal := os.LookupEnv("JOURNAL_STREAM")
	return slog.New(&handler{out: newWriter(w), withTime: !journal})
}

// writer writes one record at a time. It drops records that nobody reads in time: a stopped
// terminal or a full pipe must not stop the server.
type writer struct {
	w       io.Writer
	writing chan struct{} // has an element while a record is being written
	stuck   atomic.Bool   // the record that is being written takes too long
	lost    atomic.Int64  // dropped records that no later record has reported yet
}

func newWriter(w io.Writer) *writer {
	return &writer{w: w, writing: make(chan struct{}, 1)}
}

// writeTime is how long a caller waits until its record is written. While one record takes longer,
// later ones are dropped at once.
const writeTime = 5 * time.Second

// write reports whether a record was written, or may still be.
func (l *writer) write(record string) bool {
	if l.stuck.Load() {
		return false
	}
	late := time.NewTimer(writeTime)
	defer late.Stop()
	select {
	case l.writing <- struct{}{}:
	case <-late.C:
		return false
	}
	written := make(chan struct{})
	go func() { // ends when somebody reads the record, or with the process
		_, _ = io.WriteString(l.w, record) // there is nowhere to report an error of the log
		close(written)
		l.stuck.Store(false) // after the close: a caller that has just given up checks it again
		<-l.writing
	}()
	select {
	case <-written:
	case <-late.C:
		l.stuck.Store(true)
		select {
		case <-written: // it was written at the same moment
			l.stuck.Store(false)
		default:
		}
	}
	return true
}

// handler is a slog.Handler. It does not support groups, which this program does not use.
type handler struct {
	out      *writer
	withTime bool
	attrs    []slog.Attr
}

func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo
}

func (h *handler) WithGroup(string) slog.Handler { return h }

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.attrs = append(c.attrs[:len(c.attrs):len(c.attrs)], attrs...)
	return &c
}

// maxRecord bounds one record and all lines below it, in bytes.
const maxRecord = 64 << 10

// Handle writes a record in one piece, so that records do not mix. If its message has several
// lines, as that of a panic has, all but the first are written below the record.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	if h.withTime {
		b.WriteString(r.Time.UTC().Format(time.RFC3339) + " ")
	}
	message, below, _ := strings.Cut(errtext.Clean(r.Message), "\n")
	b.WriteString(r.Level.String() + " " + message)
	write := func(a slog.Attr) bool {
		value := a.Value.Resolve().String()
		err, isError := a.Value.Any().(error)
		if isError {
			value = errtext.Tree(err)
		}
		if isError || a.Key == TreeKey {
			below = strings.TrimPrefix(below+"\n"+value, "\n")
			return true
		}
		// Whatever its key, the value may hold a URL with a password that a client has sent.
		b.WriteString(" " + a.Key + "=" + quote(errtext.Word(value, maxRecord)))
		return true
	}
	for _, a := range h.attrs {
		write(a)
	}
	r.Attrs(write)
	lost := h.out.lost.Swap(0)
	if lost > 0 {
		write(slog.Int64("records_lost_before", lost))
	}
	for line := range strings.Lines(errtext.Clip(git.Redact(below), maxRecord)) {
		b.WriteString("\n    " + strings.TrimSuffix(line, "\n"))
	}
	if !h.out.write(errtext.Clip(b.String(), maxRecord-len("…\n")) + "\n") {
		h.out.lost.Add(lost + 1)
	}
	return nil
}

// quote quotes a value unless it is one printable word.
func quote(s string) string {
	if s == "" || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r == ' ' || r == '"' || r == '=' || !strconv.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}
