// Package logging writes a log for people, journals and programs: one record for each event, with the
// tree of reasons that belongs to it. A caller never waits long for a stuck log, and no record shows
// a password.
package logging

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
)

// TreeKey is the key of an attribute whose value has several lines, which are written below the
// record. Errors are written there as well, each as a tree of reasons.
const TreeKey = "tree"

// Format is the form of a record.
type Format string

// Formats.
const (
	// Text has one line for a record, and the tree below it:
	//
	//	2026-01-02T15:04:05Z ERROR can't pull mirror=dev/configs
	//	    can't fetch
	//	    └─ fatal: unable to access 'https://git.in.local/x.git/': …
	Text Format = "text"

	// JSON has one line for a record, an object with time, level, msg, the attributes and, if there
	// is one, the tree.
	JSON Format = "json"
)

// ParseFormat parses the name of a format.
func ParseFormat(text string) (Format, error) {
	switch f := Format(text); f {
	case Text, JSON:
		return f, nil
	}
	return "", fmt.Errorf("%q is neither %q nor %q", text, Text, JSON)
}

// levels are the names of levels.
var levels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// ParseLevel parses the name of a level: debug, info, warn or error.
func ParseLevel(text string) (slog.Level, error) {
	if level, ok := levels[text]; ok {
		return level, nil
	}
	return 0, fmt.Errorf(`%q is none of "debug", "info", "warn" and "error"`, text)
}

// LevelName is what ParseLevel parses.
func LevelName(level slog.Level) string { return strings.ToLower(level.String()) }

// Options say what is logged, and how.
type Options struct {
	Format Format
	Level  slog.Level // the lowest that is logged
}

// Log is a log whose options can be changed while it is used.
type Log struct {
	*slog.Logger
	options *atomic.Pointer[Options]
}

// New returns a log that writes to w, as Text from the level info on. If w is standard error, and
// that is connected to systemd's journal, records go there by the journal's own protocol: each is
// one entry with a priority, also one with a tree. Otherwise each line of it would be an entry of
// its own, and all of them of the same priority.
func New(w io.Writer) *Log {
	h := &handler{out: newWriter(target(w)), options: new(atomic.Pointer[Options])}
	h.options.Store(&Options{Text, slog.LevelInfo})
	return &Log{slog.New(h), h.options}
}

// Configure puts options in force.
func (l *Log) Configure(o Options) { l.options.Store(&o) }

// writer writes one record at a time. It drops records that nobody reads in time: a stopped
// terminal or a full pipe must not stop the server.
type writer struct {
	to      func(record)
	writing chan struct{} // has an element while a record is being written
	stuck   atomic.Bool   // the record that is being written takes too long
	lost    atomic.Int64  // dropped records that no later record has reported yet
}

func newWriter(to func(record)) *writer {
	return &writer{to: to, writing: make(chan struct{}, 1)}
}

// writeTime is how long a caller waits until its record is written. While one record takes longer,
// later ones are dropped at once.
const writeTime = 5 * time.Second

// write reports whether a record was written, or may still be.
func (l *writer) write(r record) bool {
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
		l.to(r)
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
	out     *writer
	options *atomic.Pointer[Options]
	attrs   []slog.Attr
}

func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.options.Load().Level
}

func (h *handler) WithGroup(string) slog.Handler { return h }

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.attrs = append(c.attrs[:len(c.attrs):len(c.attrs)], attrs...)
	return &c
}

// Handle writes a record in one piece, so that records do not mix.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	lost := h.out.lost.Swap(0)
	one := h.record(r)
	if lost > 0 {
		one.attrs = append(one.attrs, attr{"records_lost_before", fmt.Sprint(lost)})
	}
	if !h.out.write(one) {
		h.out.lost.Add(lost + 1)
	}
	return nil
}

// record makes a record fit to be shown. If its message has several lines, as that of a panic has,
// all but the first are a part of the tree.
func (h *handler) record(r slog.Record) record {
	message, below, _ := strings.Cut(errtext.Clean(r.Message), "\n")
	one := record{format: h.options.Load().Format, time: r.Time, level: r.Level, message: message}
	add := func(a slog.Attr) bool {
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
		one.attrs = append(one.attrs, attr{a.Key, errtext.Word(value, maxRecord)})
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	one.tree = errtext.Clip(git.Redact(below), maxRecord)
	return one
}
