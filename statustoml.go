package main

import (
	"bytes"

	"github.com/BurntSushi/toml"
)

// toml is the document in TOML.
func (d *statusDocument) toml() ([]byte, error) {
	var b bytes.Buffer
	encoder := toml.NewEncoder(&b)
	encoder.Indent = ""
	err := encoder.Encode(d)
	return b.Bytes(), err
}
