package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
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

// maxLogTree bounds the tree of one record, in bytes.
const maxLogTree = 64 << 10

// Handle writes a record in one piece, so that records do not mix.
func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	var b bytes.Buffer
	if h.withTime {
		b.WriteString(r.Time.UTC().Format(time.RFC3339) + " ")
	}
	b.WriteString(r.Level.String() + " " + r.Message)
	below := ""
	write := func(a slog.Attr) bool {
		value := a.Value.Resolve().String()
		if a.Key == treeKey {
			below = value
			return true
		}
		b.WriteString(" " + a.Key + "=" + quoteLog(value))
		return true
	}
	for _, a := range h.attrs {
		write(a)
	}
	r.Attrs(write)
	b.WriteByte('\n')
	if below != "" {
		for line := range strings.Lines(clip(below, maxLogTree)) {
			b.WriteString("    " + strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	_, err := h.out.Write(b.Bytes())
	return err
}

// quoteLog quotes a value that would not be one word otherwise.
func quoteLog(s string) string {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r == ' ' || r == '"' || r == '=' || !strconv.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}
