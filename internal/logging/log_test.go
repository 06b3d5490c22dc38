package logging

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

// logged returns the text of a record.
func logged(message string, attrs ...any) string {
	var b bytes.Buffer
	newLog(&b, Options{Format: Text}).Error(message, attrs...)
	return b.String()
}

// newLog returns a log whose records have no times.
func newLog(w io.Writer, o Options) *Log {
	h := &handler{out: newWriter(func(r record) { _, _ = io.WriteString(w, r.text(false)+"\n") }), options: new(atomic.Pointer[Options])}
	log := &Log{slog.New(h), h.options}
	log.Configure(o)
	return log
}

func TestLogRecord(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{logged("can't pull", "mirror", "dev/x", "n", 1), "ERROR can't pull mirror=dev/x n=1\n"},
		{logged("x", "a", "", "b", `"`, "c", "a b", "d", "ü"), `ERROR x a="" b="\"" c="a b" d=ü` + "\n"},
		{logged("x", "err", errors.New("a: b")), "ERROR x\n    a: b\n"},
		{logged("x", "err", fmt.Errorf("a: %w", errors.New("b"))), "ERROR x\n    a\n    └─ b\n"},
		// Line ends and control characters.
		{logged("x", "a", "b\nERROR y\r\x1b[2J\u2028\u202e"), `ERROR x a="b\nERROR y\r\x1b[2J\u2028\u202e"` + "\n"},
		{logged("x", "a", "b\x9b"), `ERROR x a="b\x9b"` + "\n"},
		{logged("x", "err", errors.New("a\r\x1b[2J\u2028b\x9b\nERROR y")), "ERROR x\n    a[2Jb\ufffd\n    ERROR y\n"},
		{logged("http: panic\n\ngoroutine\r 1", "a", 1), "ERROR http: panic a=1\n    \n    goroutine 1\n"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

// terminal is a terminal that can be stopped: Write waits while goes is full.
type terminal struct {
	goes chan struct{}
	got  bytes.Buffer
}

func (t *terminal) Write(p []byte) (int, error) {
	t.goes <- struct{}{}
	defer func() { <-t.goes }()
	return t.got.Write(p)
}

// TestStuckLog: while nobody reads the log, the first caller waits for writeTime, and later ones do not
// wait. Afterwards the log says how many records were lost.
func TestStuckLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &terminal{goes: make(chan struct{}, 1)}
		log := newLog(out, Options{Format: Text})
		log.Info("a")
		out.goes <- struct{}{}
		began := time.Now()
		for _, message := range []string{"b", "c", "d"} {
			log.Info(message)
		}
		if took := time.Since(began); took != writeTime {
			t.Errorf("it took %s", took)
		}
		<-out.goes
		synctest.Wait()
		log.Info("e")
		log.Info("f")
		if want := "INFO a\nINFO b\nINFO e records_lost_before=2\nINFO f\n"; out.got.String() != want {
			t.Errorf("%q, want %q", out.got.String(), want)
		}
	})
}

func TestLogRecordIsBounded(t *testing.T) {
	much := strings.Repeat("ü", maxRecord)
	for what, got := range map[string]string{
		"a message":   logged(much),
		"a value":     logged("x", "a", much, "b", 1),
		"quoted":      logged("x", "a", strings.Repeat("\x00", maxRecord)),
		"many values": logged("x", "a", much[:maxRecord/2], "b", much[:maxRecord/2], "c", much[:maxRecord/2]),
		"a tree":      logged("x", "err", errors.New(much)),
		"many lines":  logged("x", "err", errors.New(strings.Repeat("y\n", maxRecord))),
	} {
		if len(got) > maxRecord || len(got) < maxRecord-10 || !strings.HasSuffix(got, "…\n") || !utf8.ValidString(got) {
			t.Errorf("%s becomes %d bytes: %.40q…%q", what, len(got), got, got[len(got)-10:])
		}
	}
}

// TestLogShowsNoCredentials: whatever the key of an attribute is.
func TestLogShowsNoCredentials(t *testing.T) {
	const url = "https://u:p w'@h/x"
	for _, c := range []struct{ got, want string }{
		{logged("x", "path", "/"+url), "ERROR x path=/https://***@h/x\n"},
		{logged("x", "any", strings.Repeat("a", maxRecord-20)+url), "…\n"},
		{logged("x", "any", errors.Join(errors.New("https://u:p@h/x"))), "ERROR x\n    https://***@h/x\n"},
		{logged("x", TreeKey, "a\n└─ https://u:p@h/x"), "ERROR x\n    a\n    └─ https://***@h/x\n"},
		{logged("https://u:p@h/x"), "ERROR https://***@h/x\n"},
		{logged("http: panic\nhttps://u:p@h/x"), "ERROR http: panic\n    https://***@h/x\n"},
	} {
		if !strings.HasSuffix(c.got, c.want) || strings.Contains(c.got, "p w") {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	log := newLog(&b, Options{Format: JSON})
	log.With("mirror", "a/b").Error("can't pull\nnow", "took", "0.10s", "n", 1, "n", "2 <", "url", "https://u:p@h/", "err", fmt.Errorf("a: %w", errors.New("b\x1b")))
	want := `"level":"ERROR","msg":"can't pull","mirror":"a/b","took":"0.10s","n":"2 <","url":"https://***@h/","tree":"now\na\n└─ b"}` + "\n"
	if _, got, _ := strings.Cut(b.String(), `Z",`); got != want || !strings.HasPrefix(b.String(), `{"time":"2`) {
		t.Errorf("%s, want %s", b.String(), want)
	}
	b.Reset()
	much := strings.Repeat("\x00", maxRecord)
	log.Error("x", "a", much, "b", much, "err", errors.New(strings.Repeat("ü\n", maxRecord)))
	var fields map[string]string
	if err := json.Unmarshal(b.Bytes(), &fields); err != nil || b.Len() > maxRecord || b.Len() < maxRecord/8 || !strings.HasSuffix(fields["a"], "…") {
		t.Errorf("%d bytes: %.100q, %v", b.Len(), b.String(), err)
	}
}

func TestConfigure(t *testing.T) {
	var b bytes.Buffer
	log := newLog(&b, Options{Text, slog.LevelWarn})
	with := log.With("a", 1)
	with.Info("a")
	with.Warn("b")
	log.Configure(Options{JSON, slog.LevelDebug})
	with.Debug("c")
	if got := b.String(); !strings.HasPrefix(got, "WARN b a=1\n{") || !strings.HasSuffix(got, `"level":"DEBUG","msg":"c","a":"1"}`+"\n") {
		t.Errorf("%s", got)
	}
}

func TestParseLevel(t *testing.T) {
	for name, level := range levels {
		if got, err := ParseLevel(name); err != nil || got != level || LevelName(level) != name {
			t.Errorf("%s is %v (%s), %v", name, got, LevelName(got), err)
		}
	}
	for _, name := range []string{"", "INFO", "trace", "0"} {
		if got, err := ParseLevel(name); err == nil {
			t.Errorf("%q is %v", name, got)
		}
	}
}
