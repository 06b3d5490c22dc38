package insight

import (
	"html/template"
	"net/url"
)

// Bounds of a page. Whatever the names and errors on it are, it has less than 200 kB.
const (
	maxRows      = 50       // mirrors in the table of all
	maxRefRows   = 100      // refs in the table of a mirror
	maxRoom      = 60 << 10 // bytes of the words in one table, escaped
	maxAttention = 5        // mirrors that fail, and servers in trouble, above the table
	maxServers   = 100      // other servers that are shown
	maxKeptRows  = 20       // replaced refs that are shown
)

// room is what is left on a page for the words of a table.
type room struct{ left int }

// take reports whether a row with these words still fits, and takes its room. The first row always
// fits.
func (r *room) take(words ...string) bool {
	size := 0
	for _, word := range words {
		size += escapedSize(word)
	}
	if r.left < maxRoom && size > r.left {
		return false
	}
	r.left -= size
	return true
}

// escapedSize is how many bytes a word takes in HTML.
func escapedSize(word string) int {
	size := len(template.HTMLEscapeString(word))
	for i := range len(word) {
		if word[i] == '+' {
			size += len("&#43;") - 1 // in attributes
		}
	}
	return size
}

// link returns a path with a query; empty values are left out.
func link(path string, query ...string) string {
	values := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		if query[i+1] != "" {
			values.Set(query[i], query[i+1])
		}
	}
	u := url.URL{Path: path, RawQuery: values.Encode()}
	return u.String()
}
