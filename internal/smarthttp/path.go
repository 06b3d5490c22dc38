package smarthttp

import (
	"net/http"
	"slices"
	"strings"

	"github.com/reconquest/sould/internal/conditional"
)

// What git clients ask for, behind a mirror's name.
const (
	RefsPath  = "/info/refs"
	FetchPath = "/git-upload-pack"
	PushPath  = "/git-receive-pack"
)

// IsPath reports whether a path is one that git clients ask for. No mirror's name ends like that.
func IsPath(path string) bool {
	return strings.HasSuffix(path, RefsPath) || strings.HasSuffix(path, FetchPath) || strings.HasSuffix(path, PushPath)
}

// WantsFresh reports whether a client asks for a pull first. Every git says "Pragma: no-cache" in
// its first question, and net/http makes "Cache-Control: no-cache" of that where the latter is missing.
// So from git it takes a word more.
func WantsFresh(h http.Header) bool {
	if h.Get("Pragma") != "" && slices.Equal(h["Cache-Control"], []string{"no-cache"}) {
		return false
	}
	return conditional.WantsFresh(h)
}
