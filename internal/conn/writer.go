package conn

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// writeTimeout is how long a client may take to read MaxPiece bytes.
const writeTimeout = time.Minute

// MaxPiece is how many bytes a client must read within writeTimeout. If it reads less, its answer is
// cut off.
const MaxPiece = 512 << 10

// DeadlineWriter writes an answer to a client that must read at a certain speed.
type DeadlineWriter struct {
	http.ResponseWriter
	Control *http.ResponseController
	Begun   bool           // Write or ReadFrom was called
	Err     error          // the first error of writing
	sent    *atomic.Uint64 // counts the bytes that were written; may be nil
}

// NewDeadlineWriter returns a writer of an answer.
func NewDeadlineWriter(w http.ResponseWriter) *DeadlineWriter {
	return &DeadlineWriter{ResponseWriter: w, Control: http.NewResponseController(w)}
}

// Counting makes w add the bytes that it writes to sent, and returns it.
func (w *DeadlineWriter) Counting(sent *atomic.Uint64) *DeadlineWriter {
	w.sent = sent
	return w
}

func (w *DeadlineWriter) count(n int64) {
	if w.sent != nil {
		w.sent.Add(uint64(n))
	}
}

func (w *DeadlineWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *DeadlineWriter) Write(p []byte) (n int, err error) {
	w.Begun = true
	for len(p) > 0 && w.Err == nil {
		w.Err = w.Control.SetWriteDeadline(time.Now().Add(writeTimeout))
		if w.Err == nil {
			var m int
			m, w.Err = w.ResponseWriter.Write(p[:min(len(p), MaxPiece)])
			n, p = n+m, p[m:]
			w.count(int64(m))
		}
	}
	return n, w.Err
}

// FlushError sends what was written, or at least the header. It is for http.ResponseController.
func (w *DeadlineWriter) FlushError() error {
	w.Begun = true
	if w.Err == nil {
		w.Err = w.Control.SetWriteDeadline(time.Now().Add(writeTimeout))
	}
	if w.Err == nil {
		w.Err = w.Control.Flush()
	}
	return w.Err
}

// ReadFrom lets the kernel send a file by itself, piece by piece.
func (w *DeadlineWriter) ReadFrom(src io.Reader) (total int64, err error) {
	w.Begun = true
	file, limit := src, int64(1<<62)
	if l, ok := src.(*io.LimitedReader); ok {
		file, limit = l.R, l.N
	}
	for total < limit && w.Err == nil {
		if w.Err = w.Control.SetWriteDeadline(time.Now().Add(writeTimeout)); w.Err != nil {
			break
		}
		var n int64
		piece := min(limit-total, MaxPiece)
		n, w.Err = io.Copy(w.ResponseWriter, &io.LimitedReader{R: file, N: piece})
		total += n
		w.count(n)
		if n < piece { // the end of the file
			break
		}
	}
	return total, w.Err
}
