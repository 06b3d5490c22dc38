package forge

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/reconquest/sould/internal/errtext"
)

// plainList is a text over HTTP, with a clone URL a line. Empty lines, and those that begin with #,
// mean nothing.
var plainList = api{
	first:     func(s Source) []string { return []string{s.Base()} },
	types:     []string{"text/plain", "application/octet-stream", "binary/octet-stream", ""}, // the third is S3's
	authorize: bearer,
	parse: func(_ Source, _ *url.URL, _ http.Header, body []byte) (repos []Repo, _ string, _ error) {
		for line := range strings.Lines(strings.TrimPrefix(string(body), "\ufeff")) {
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			if len(repos) == MaxRepos {
				return nil, "", errTooMany
			}
			path := pathOf(line)
			if path == "" || len(line) > maxCloneURL {
				return nil, "", fmt.Errorf("the line %q is not a clone URL", errtext.Word(line, 100))
			}
			repos = append(repos, Repo{ID: path, Path: path, HTTP: line, SSH: line})
		}
		return tellApart(repos), "", nil
	},
}

// tellApart gives repositories of one path different ids: nothing is listed that nobody is told of.
func tellApart(repos []Repo) []Repo {
	first := make(map[string]string, len(repos)) // clone URLs by id
	for i, r := range repos {
		if url, ok := first[r.ID]; ok && url != r.HTTP && len(r.HTTP) <= maxPath {
			repos[i].ID = r.HTTP
		} else if !ok {
			first[r.ID] = r.HTTP
		}
	}
	return repos
}

// pathOf is the path of a repository by its clone URL, without ".git"; empty for none.
func pathOf(raw string) string {
	var path string
	if strings.Contains(raw, "://") {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" && u.Scheme != "file" {
			return ""
		}
		path = u.Path
	} else if _, rest, ok := strings.Cut(raw, "@"); ok { // user@host:path
		_, path, _ = strings.Cut(rest, ":")
	}
	return strings.TrimSuffix(strings.Trim(path, "/"), ".git")
}

// manifest is what grokmirror calls so (https://github.com/mricon/grokmirror): a JSON object, with the
// paths of repositories as its keys. They are cloned from the site, which is where the manifest lies if nothing
// else is said.
var manifest = api{
	first: func(s Source) []string { return []string{s.Base()} },
	types: []string{
		"application/gzip", "application/x-gzip", "application/octet-stream", "binary/octet-stream", "application/json",
		"application/javascript", "application/x-javascript", "text/javascript", "",
	},
	authorize: bearer,
	parse: func(s Source, at *url.URL, _ http.Header, body []byte) ([]Repo, string, error) {
		text, err := gunzip(body)
		if err != nil {
			return nil, "", err
		}
		var all manifestPaths
		if err := json.Unmarshal(text, &all); err != nil {
			return nil, "", err
		}
		if len(all) == 0 { // grokmirror's own clients take that for a fault as well
			return nil, "", errors.New("the manifest is empty")
		}
		site := *at
		site.Path, site.RawPath, site.RawQuery = at.Path[:strings.LastIndexByte(at.Path, '/')+1], "", ""
		place := cmp.Or(strings.TrimRight(s.Site, "/"), strings.TrimRight(site.String(), "/"))
		repos := make([]Repo, len(all))
		for i, name := range all {
			name = strings.Trim(name, "/")
			path := strings.TrimSuffix(name, ".git")
			repos[i] = Repo{ID: path, Path: path, HTTP: place + escape("/"+name)}
		}
		return tellApart(repos), "", nil
	},
}

// escape writes a path as a clone URL has it. No origin has an @ in its path, which may be meant to end a password.
func escape(path string) string {
	return strings.ReplaceAll((&url.URL{Path: path}).EscapedPath(), "@", "%40")
}

// manifestPaths are the keys of a manifest.
type manifestPaths []string

func (m *manifestPaths) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if begin, err := d.Token(); err != nil || begin != json.Delim('{') {
		return errNoList
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		var entry struct{}
		if err := d.Decode(&entry); err != nil {
			return err
		}
		if len(*m) == MaxRepos {
			return errTooMany
		}
		*m = append(*m, key.(string)) // the decoder takes no other keys
	}
	return nil
}

// gunzip is the text of what may be compressed: HTTP's own compression was undone already.
func gunzip(body []byte) ([]byte, error) {
	if !bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
		return body, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(z, maxAnswer+1))
	if err == nil && len(text) > maxAnswer {
		err = errTooLong
	}
	return text, err
}
