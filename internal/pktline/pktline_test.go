package pktline

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for stream, ok := range map[string]bool{
		"": true, "0000": true, "0004": true, "0005x0001": true, "000500050002": false, "0002": false, "0009done\n0002": false, "0006ab0000": true, "0009done\n": true,
		"000": false, "0003": false, "0005": false, "0006a": false, "-001": false, "+005x": false, "zzzz": false,
		"fff1" + strings.Repeat("x", 0xfff1-4): false, "fff0" + strings.Repeat("x", 0xfff0-4): true,
	} {
		if err := Check(strings.NewReader(stream)); (err == nil) != ok || err != nil && !errors.Is(err, ErrFormat) {
			t.Errorf("%.20q: %v", stream, err)
		}
	}
}

// FuzzReader: what is taken for packets is nothing else.
func FuzzReader(f *testing.F) {
	for _, s := range []string{
		"", "0000", "0001", "0002", "0003", "0004", "0005", "000", "FFFF", "fff0", "+004", "-004", " 004", "0x05", "zzzz",
		"0008NAK\n", "0009NAK", "\x00\x00\x00\x00", "0008NAK\n00010009done\n0000",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var again []byte
		var err error
		p := NewReader(bytes.NewReader(text))
		for err == nil {
			var line []byte
			var special string
			line, special, err = p.Next()
			switch {
			case err != nil:
			case special != "":
				again = append(again, special...)
			default:
				again = Append(again, string(line))
			}
		}
		checkErr := Check(bytes.NewReader(text))
		if (err == io.EOF) != (checkErr == nil) {
			t.Errorf("%q: read with %v, checked with %v", text, err, checkErr)
		}
		if len(again) > len(text) || !bytes.EqualFold(text[:len(again)], again) || err == io.EOF && len(again) != len(text) {
			t.Errorf("%q was read as %q, %v", text, again, err)
		}
	})
}
