package page

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
)

//go:embed style.css
var style []byte

//go:embed script.js
var script []byte

// Asset is a file that pages are made with.
type Asset struct {
	Type    string
	Content []byte
	ETag    string
	version string
}

// Current reports whether a query names just this version of the file, so that the answer may be
// kept for ever.
func (a Asset) Current(query string) bool { return query == "v="+a.version }

// Assets are the files by their paths.
var Assets = map[string]Asset{
	"x/page/style.css": newAsset("text/css; charset=utf-8", style),
	"x/page/script.js": newAsset("text/javascript; charset=utf-8", script),
}

var styleURL, scriptURL = assetURL("x/page/style.css"), assetURL("x/page/script.js")

func newAsset(kind string, content []byte) Asset {
	digest := sha256.Sum256(content)
	version := hex.EncodeToString(digest[:8])
	return Asset{kind, content, `"` + version + `"`, version}
}

func assetURL(path string) string { return "/" + path + "?v=" + Assets[path].version }
