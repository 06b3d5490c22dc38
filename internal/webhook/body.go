package webhook

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
)

// formField begins a body of the type application/x-www-form-urlencoded, which GitHub and Gitea send if
// the hook says so: one field, with the JSON in it.
const formField = "payload="

// formReader reads the value of a field of a form (URL Standard, 5.1), up to the next field.
type formReader struct {
	r    *bufio.Reader
	over bool
}

func (f *formReader) Read(p []byte) (n int, err error) {
	for n < len(p) && !f.over {
		if n > 0 && f.r.Buffered() == 0 {
			return n, nil
		}
		c, err := f.r.ReadByte()
		if err != nil {
			return n, err
		}
		switch c {
		case '&':
			f.over = true
			continue
		case '+':
			c = ' '
		case '%':
			var digits [2]byte
			if _, err := io.ReadFull(f.r, digits[:]); err != nil {
				return n, err
			}
			if _, err := hex.Decode(digits[:1], digits[:]); err != nil {
				return n, fmt.Errorf("%w: the form that holds it has a %% without two digits behind it", errJSON)
			}
			c = digits[0]
		}
		p[n] = c
		n++
	}
	if n == 0 && f.over {
		return 0, io.EOF
	}
	return n, nil
}
