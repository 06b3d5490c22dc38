package main

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/reconquest/sould/internal/archive"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/storage"
)

// tarRequest is what a client asks of a mirror's content.
type tarRequest struct {
	name     storage.Name
	want     archive.Spec
	bundle   bool     // a bundle of refs is wanted, instead of an archive
	bundleID string   // of one that was offered to a git client, or empty
	sum      bool     // the digest of the archive is wanted, instead of the archive
	paths    []string // that must be there, sorted; want has those of them that lie in no other one
	contains string   // a full commit id, or empty
	came     time.Time
}

// Bounds of the parameters path and prefix.
const (
	maxPath     = 4096    // bytes of each
	maxAllPaths = 8 << 10 // bytes of all paths together
	mostPaths   = 64
)

// parseTar reads the path and the query of a GET.
func parseTar(u *url.URL) (req tarRequest, err error) {
	if req.name, err = storage.ParseName(u.Path); err != nil {
		return req, err
	}
	req.want.Format = archive.Tar
	if u.RawQuery == "" {
		return req, nil
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return req, fmt.Errorf("the query is malformed: %w", err)
	}
	for key, values := range query {
		if key == "path" {
			if err := req.setPaths(values); err != nil {
				return req, err
			}
			continue
		}
		if len(values) > 1 {
			return req, fmt.Errorf("the parameter %q is given %d times", errtext.Word(key, 40), len(values))
		}
		if err := req.set(key, values[0]); err != nil {
			return req, err
		}
	}
	return req, req.checkBundle()
}

// checkBundle refuses parameters that do not go together with a bundle, or with an archive.
func (req *tarRequest) checkBundle() error {
	switch {
	case req.bundle && (len(req.paths) > 0 || req.want.Prefix != ""):
		return errors.New("a bundle is of the whole history: it has neither path nor prefix")
	case req.bundleID != "" && !req.bundle:
		return errors.New("only a bundle has an id: format=bundle is missing")
	case req.bundleID != "" && (req.want.Ref != "" || req.contains != ""):
		return errors.New("the id says which bundle it is: ref and contains do not go with it")
	}
	return nil
}

// set takes in one parameter.
func (req *tarRequest) set(key, value string) (err error) {
	switch key {
	case "ref":
		if !legalRef(value) {
			return fmt.Errorf("ref=%q is neither a commit id nor a legal name of a branch or tag", errtext.Word(value, 100))
		}
		req.want.Ref = value
		if lower := strings.ToLower(value); git.IsID(lower) {
			req.want.Ref = lower
		}
	case "contains":
		if req.contains = strings.ToLower(value); !git.IsID(req.contains) {
			return fmt.Errorf("contains=%q is no full commit id", errtext.Word(value, 100))
		}
	case "format":
		if req.bundle = value == "bundle"; req.bundle {
			return nil
		}
		name, sum := strings.CutSuffix(value, ".sha256")
		if req.want.Format, req.sum = archive.FindFormat(name), sum; req.want.Format == nil {
			return fmt.Errorf("format=%q is unknown; there are tar, tar.gz, tar.zst and zip, "+
				"the digest of each, such as tar.sha256, and bundle", errtext.Word(value, 40))
		}
	case "id":
		if req.bundleID = value; !git.IsID(value) || len(value) != 64 {
			return fmt.Errorf("id=%q is no id of a bundle", errtext.Word(value, 100))
		}
	case "prefix":
		if req.want.Prefix, err = cleanPrefix(value); err != nil {
			return fmt.Errorf("prefix=%q: %w", errtext.Word(value, 100), err)
		}
		req.want.Prefix += "/"
	default:
		return fmt.Errorf("the parameter %q is unknown; there are ref, format, path, prefix and contains", errtext.Word(key, 40))
	}
	return nil
}

// setPaths takes in the parameter path, which may be given several times.
func (req *tarRequest) setPaths(values []string) error {
	if len(values) > mostPaths {
		return fmt.Errorf("the parameter path is given %d times; %d at most", len(values), mostPaths)
	}
	total := 0
	for _, value := range values {
		path, err := cleanPath(value)
		if err != nil {
			return fmt.Errorf("path=%q: %w", errtext.Word(value, 100), err)
		}
		if total += len(path); total > maxAllPaths {
			return fmt.Errorf("all paths together have more than %d bytes", maxAllPaths)
		}
		req.paths = append(req.paths, path)
	}
	slices.Sort(req.paths)
	req.paths = slices.Compact(req.paths)
	req.want.Paths = archive.NewPaths(req.paths)
	return nil
}

// cleanPath checks a path inside a commit: relative, without steps that lead elsewhere. A
// name in a tree can have every other byte but NUL. A slash at the end is dropped.
func cleanPath(path string) (string, error) {
	path = strings.TrimSuffix(path, "/")
	switch {
	case path == "":
		return "", errors.New("it is empty")
	case len(path) > maxPath:
		return "", fmt.Errorf("it has more than %d bytes", maxPath)
	case path[0] == '/':
		return "", errors.New("it is absolute")
	case strings.Contains(path, "\x00"):
		return "", errors.New("it contains a NUL")
	}
	for c := range strings.SplitSeq(path, "/") {
		if c == "" || c == "." || c == ".." {
			return "", fmt.Errorf("it has a component %q", c)
		}
	}
	return path, nil
}

// cleanPrefix checks what is put before every path: what a client makes up appears in the
// archive, and on the disk of whoever unpacks it, so it must be harmless as well.
func cleanPrefix(prefix string) (string, error) {
	switch {
	case strings.HasPrefix(prefix, "-"):
		return "", errors.New("it begins with a dash")
	case strings.ContainsFunc(prefix, unicode.IsControl):
		return "", errors.New("it contains a control character")
	}
	return cleanPath(prefix)
}

// legalRef reports whether a client's word may name a branch, a tag or a ref.
func legalRef(ref string) bool {
	return !strings.HasPrefix(ref, "-") && git.IsRefName("refs/heads/"+ref)
}
