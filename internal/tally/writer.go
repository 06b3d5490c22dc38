package tally

import "io"

// Writer passes on what is written to it, and counts the bytes.
type Writer struct {
	io.Writer
	N int64 // bytes that were written
}

func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.N += int64(n)
	return n, err
}
