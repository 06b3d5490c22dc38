package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

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
			if req.paths, err = archive.ParsePaths(values); err != nil {
				return req, err
			}
			req.want.Paths = archive.NewPaths(req.paths)
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
			return fmt.Errorf("contains=%q is not a full commit id", errtext.Word(value, 100))
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
		req.want.Prefix, err = archive.ParsePrefix(value)
		return err
	default:
		return fmt.Errorf("the parameter %q is unknown; there are ref, format, path, prefix and contains", errtext.Word(key, 40))
	}
	return nil
}

// legalRef reports whether a client's word may name a branch, a tag or a ref.
func legalRef(ref string) bool {
	return !strings.HasPrefix(ref, "-") && git.IsRefName("refs/heads/"+ref)
}
