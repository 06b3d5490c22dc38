package status

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/reconquest/sould/internal/protocol"
)

// render returns a status in a form.
func render(d *protocol.Status, format string) ([]byte, error) {
	switch format {
	case "json":
		text, err := json.Marshal(d)
		return append(text, '\n'), err
	case "toml":
		return inTOML(d)
	default:
		return []byte(d.String()), nil
	}
}

// strongTag returns an ETag that is equal for equal words.
func strongTag(words ...string) string {
	h := sha256.New()
	for _, word := range words {
		fmt.Fprintf(h, "%d ", len(word))
		io.WriteString(h, word)
	}
	return `"` + hex.EncodeToString(h.Sum(nil)[:16]) + `"`
}

// renderings keeps the last status that was rendered in each form: whoever watches a quiet
// server costs it nothing.
type renderings struct {
	mu   sync.Mutex // guards last; held while one is rendered, for all who want it
	last map[formKey]rendered
}

type formKey struct {
	format   string
	upstream bool
	peer     bool // for another server
	client   bool
	tells    scope
}

type rendered struct {
	etag string
	body []byte
}

// get returns the status with that ETag, which render makes if it is not the last one.
func (all *renderings) get(key formKey, etag string, render func() ([]byte, error)) ([]byte, error) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if last := all.last[key]; last.etag == etag {
		return last.body, nil
	}
	body, err := render()
	if err != nil {
		return nil, err
	}
	if all.last == nil {
		all.last = make(map[formKey]rendered)
	}
	all.last[key] = rendered{etag, body}
	return body, nil
}
