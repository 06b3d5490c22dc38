package main

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

// treeKey is the attribute whose value is written below its record's line, one line after
// the other, instead of behind it. So are errors, as trees of reasons.
const treeKey = "tree"

// newLog returns a log for people and journals: a line a record, then the tree of
// reasons if there is one.
//
//	2026-01-02T15:04:05Z ERROR can't pull mirror=dev/configs
//	    can't fetch
//	    └─ fatal: unable to access 'https://git.in.local/x.git/': …
//
// The time is left out where the journal notes it anyway.
func newLog(w io.Writer) *slog.Logger {
	_, journal := os.LookupEnv("JOURNAL_STREAM")
	return slog.New(&logHandler{out: newLogWriter(w), withTime: !journal})
}

// logWriter writes one record at a time, and does without those that nobody takes in: a
// terminal that somebody has stopped, or a pipe that is full, must not stop the server.
type logWriter struct {
	w     io.Writer
	place chan struct{} // has an element while a record is being written
	stuck atomic.Bool   // that takes too long
	lost  atomic.Int64  // records that were not written, and that no record has told of yet
}

func newLogWriter(w io.Writer) *logWriter { return &logWriter{w: w, place: make(chan struct{}, 1)} }

// logTime is how long a record is waited for, and its place in line. As long as one is late,
// others are not.
const logTime = 5 * time.Second

// write reports whether a record was written, or still may be.
func (l *logWriter) write(record string) bool {
	if l.stuck.Load() {
		return false
	}
	late := time.NewTimer(logTime)
	defer late.Stop()
	select {
	case l.place <- struct{}{}:
	case <-late.C:
		return false
	}
	written := make(chan struct{})
	go func() { // ends when somebody takes the record in, or with the process
		_, _ = io.WriteString(l.w, record) // there is nowhere to tell why it can't be
		close(written)
		l.stuck.Store(false) // in this order: whoever has just given up looks once more
		<-l.place
	}()
	select {
	case <-written:
	case <-late.C:
		l.stuck.Store(true)
		select {
		case <-written: // at the same moment
			l.stuck.Store(false)
		default:
		}
	}
	return true
}

// logHandler is a slog.Handler. Groups are not used in this program and not
// supported.
type logHandler struct {
	out      *logWriter
	withTime bool
	attrs    []slog.Attr
}

func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo
}

func (h *logHandler) WithGroup(string) slog.Handler { return h }

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.attrs = append(c.attrs[:len(c.attrs):len(c.attrs)], attrs...)
	return &c
}

// maxLogRecord bounds one record with all that stands below its line, in bytes.
const maxLogRecord = 64 << 10

// Handle writes a record in one piece, so that records do not mix. If the message has
// several lines, as that of a panic, those after the first stand below it.
func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	if h.withTime {
		b.WriteString(r.Time.UTC().Format(time.RFC3339) + " ")
	}
	message, below, _ := strings.Cut(errtext.Clean(r.Message), "\n")
	b.WriteString(r.Level.String() + " " + message)
	write := func(a slog.Attr) bool {
		value := a.Value.Resolve().String() // of whatever key: each may hold a URL that somebody has sent
		err, isError := a.Value.Any().(error)
		if isError {
			value = errtext.Tree(err)
		}
		if isError || a.Key == treeKey {
			below = strings.TrimPrefix(below+"\n"+value, "\n")
			return true
		}
		b.WriteString(" " + a.Key + "=" + quoteLog(errtext.Word(value, maxLogRecord)))
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
	for line := range strings.Lines(errtext.Clip(git.Redact(below), maxLogRecord)) {
		b.WriteString("\n    " + strings.TrimSuffix(line, "\n"))
	}
	if !h.out.write(errtext.Clip(b.String(), maxLogRecord-len("…\n")) + "\n") {
		h.out.lost.Add(lost + 1)
	}
	return nil
}

// quoteLog quotes a value that would not be one word otherwise.
func quoteLog(s string) string {
	if s == "" || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r == ' ' || r == '"' || r == '=' || !strconv.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}
