package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// treeKey is the attribute that is written below its record's line, one line
// after the other, instead of behind it.
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
	return slog.New(&logHandler{out: &lockedWriter{w: w}, withTime: !journal})
}

type lockedWriter struct {
	mu sync.Mutex // guards w
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// logHandler is a slog.Handler. Groups are not used in this program and not
// supported.
type logHandler struct {
	out      *lockedWriter
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
	message, below, _ := strings.Cut(clean(r.Message), "\n")
	b.WriteString(r.Level.String() + " " + message)
	write := func(a slog.Attr) bool {
		value := a.Value.Resolve().String()
		if a.Key == treeKey {
			below = strings.TrimPrefix(below+"\n"+value, "\n")
			return true
		}
		b.WriteString(" " + a.Key + "=" + quoteLog(clip(value, maxLogRecord)))
		return true
	}
	for _, a := range h.attrs {
		write(a)
	}
	r.Attrs(write)
	for line := range strings.Lines(clip(below, maxLogRecord)) {
		b.WriteString("\n    " + strings.TrimSuffix(line, "\n"))
	}
	_, err := io.WriteString(h.out, clip(b.String(), maxLogRecord-len("…\n"))+"\n")
	return err
}

// quoteLog quotes a value that would not be one word otherwise.
func quoteLog(s string) string {
	if s == "" || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r == ' ' || r == '"' || r == '=' || !strconv.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// errTree is an error as an attribute of a log record: a tree below its line.
func errTree(err error) slog.Attr { return slog.String(treeKey, tree(err)) }
