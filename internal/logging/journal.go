package logging

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
)

// identifier is what the journal calls this program.
const identifier = "sould"

// priority is the journal's word for a level (syslog(3)).
func priority(level slog.Level) journal.Priority {
	switch {
	case level >= slog.LevelError:
		return journal.PriErr
	case level >= slog.LevelWarn:
		return journal.PriWarning
	case level >= slog.LevelInfo:
		return journal.PriInfo
	default:
		return journal.PriDebug
	}
}

// isJournal reports whether w is standard error, and that is connected to the journal: a unit's
// environment has JOURNAL_STREAM also if somebody has redirected the stream (systemd.exec(5)).
func isJournal(w io.Writer) bool {
	is, err := journal.StderrIsJournalStream()
	return w == os.Stderr && is && err == nil
}

// target returns what writes a record to w, or to the journal behind it.
func target(w io.Writer) func(record) {
	inJournal := isJournal(w)
	return func(r record) {
		text := r.text(!inJournal)
		if inJournal && journal.Send(text, priority(r.level), r.fields()) == nil {
			return
		}
		_, _ = io.WriteString(w, text+"\n") // there is nowhere to report an error of the log
	}
}

// fields are the attributes of a record as the journal has them, so that "journalctl
// SOULD_MIRROR=dev/configs" finds it.
func (r record) fields() map[string]string {
	fields := map[string]string{"SYSLOG_IDENTIFIER": identifier}
	for _, a := range r.attrs {
		fields["SOULD_"+strings.ToUpper(a.key)] = a.value
	}
	return fields
}

// Fatal writes why the program cannot start or run, as the last thing that it says.
func Fatal(w io.Writer, err error) {
	if isJournal(w) && journal.Send(err.Error(), journal.PriErr, record{}.fields()) == nil {
		return
	}
	fmt.Fprintln(w, err)
}
