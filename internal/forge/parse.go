package forge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// errNoList is why an answer of well-formed JSON is no page of repositories.
var errNoList = errors.New("it is not a list of repositories")

// maxItems is the most elements of one list of an answer. Pages have fewer.
const maxItems = 10_000

// items is a list in JSON. It is read one by one: a short text can be a long list of large values.
type items[T any] []T

func (l *items[T]) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if begin, err := d.Token(); err != nil || begin != json.Delim('[') {
		return errNoList
	}
	*l = items[T]{}
	for d.More() {
		if len(*l) == maxItems {
			return fmt.Errorf("a list has more than %d elements", maxItems)
		}
		var one T
		if err := d.Decode(&one); err != nil {
			return err
		}
		*l = append(*l, one)
	}
	return nil
}

// nextLink is the URL of the next page by the header Link (RFC 8288), or empty.
func nextLink(at *url.URL, h http.Header) string {
	for _, value := range h.Values("Link") {
		for rest := value; ; {
			_, after, ok := strings.Cut(rest, "<")
			target, parameters, ok2 := strings.Cut(after, ">")
			if !ok || !ok2 {
				break
			}
			parameters, rest = cutLink(parameters)
			for parameter := range strings.SplitSeq(parameters, ";") {
				key, word, _ := strings.Cut(strings.TrimSpace(parameter), "=")
				if !strings.EqualFold(strings.TrimSpace(key), "rel") || !isNext(word) {
					continue
				}
				if next, err := at.Parse(target); err == nil {
					return next.String()
				}
			}
		}
	}
	return ""
}

// cutLink cuts what belongs to one link from those after it.
func cutLink(text string) (parameters, rest string) {
	quoted := false
	for i, c := range text {
		switch {
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			return text[:i], text[i:]
		}
	}
	return text, ""
}

// isNext reports whether one of several relation types is "next".
func isNext(words string) bool {
	for word := range strings.FieldsSeq(strings.Trim(strings.TrimSpace(words), `"`)) {
		if strings.EqualFold(word, "next") {
			return true
		}
	}
	return false
}

// said is what a forge says of an error, in one of the forms of the APIs; empty if it says nothing.
func said(body []byte) string {
	var answer struct {
		Message json.RawMessage `json:"message"` // GitHub, GitLab, Gitea; GitLab's may be an object
		Error   json.RawMessage `json:"error"`   // GitLab
		Errors  items[struct {
			Message string `json:"message"`
		}] `json:"errors"` // Bitbucket
	}
	_ = json.Unmarshal(body, &answer) // what it says may be only a part
	for _, raw := range []json.RawMessage{answer.Message, answer.Error} {
		var word string
		if json.Unmarshal(raw, &word) == nil && word != "" {
			return word
		}
	}
	if len(answer.Errors) > 0 {
		return answer.Errors[0].Message
	}
	return ""
}
