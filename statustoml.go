package main

import (
	"bytes"

	"github.com/BurntSushi/toml"

	"github.com/reconquest/sould/internal/protocol"
)

// statusTOML is a status in TOML.
func statusTOML(d *protocol.Status) ([]byte, error) {
	var b bytes.Buffer
	encoder := toml.NewEncoder(&b)
	encoder.Indent = ""
	err := encoder.Encode(d)
	return b.Bytes(), err
}
