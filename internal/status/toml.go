package status

import (
	"bytes"
	"unicode/utf8"

	"github.com/BurntSushi/toml"

	"github.com/reconquest/sould/internal/protocol"
)

// inTOML is a status in TOML, which is UTF-8: the name of a branch need not be. As in
// JSON, the character U+FFFD stands for each byte that is not.
func inTOML(d *protocol.Status) ([]byte, error) {
	var b bytes.Buffer
	encoder := toml.NewEncoder(&b)
	encoder.Indent = ""
	err := encoder.Encode(d)
	return validUTF8(b.Bytes()), err
}

func validUTF8(text []byte) []byte {
	if utf8.Valid(text) {
		return text
	}
	return []byte(string([]rune(string(text))))
}
