package archive

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/storage"
)

// Request is what a client asks of a mirror's content.
type Request struct {
	Name     storage.Name
	Want     Spec
	Bundle   bool     // a bundle of refs is wanted, instead of an archive
	BundleID string   // of one that was offered to a git client, or empty
	Sum      bool     // the digest of the archive or bundle is wanted, instead of that
	Paths    []string // that must be there, sorted; Want has those of them that lie in no other one
	Contains string   // a full commit id, or empty
}

// ParseRequest reads the path and the query of a URL.
func ParseRequest(u *url.URL) (req Request, err error) {
	if req.Name, err = storage.ParseName(u.Path); err != nil {
		return req, err
	}
	req.Want.Format = Tar
	if u.RawQuery == "" {
		return req, nil
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return req, fmt.Errorf("the query is malformed: %w", err)
	}
	for key, values := range query {
		if key == "path" {
			if req.Paths, err = ParsePaths(values); err != nil {
				return req, err
			}
			req.Want.Paths = NewPaths(req.Paths)
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

// checkBundle refuses parameters that do not go together with a bundle, or with the id of one.
func (req *Request) checkBundle() error {
	switch {
	case req.Bundle && (len(req.Paths) > 0 || req.Want.Prefix != ""):
		return errors.New("a bundle is of the whole history: it has neither path nor prefix")
	case req.BundleID != "" && !req.Bundle:
		return errors.New("only a bundle has an id: format=bundle is missing")
	case req.BundleID != "" && (req.Want.Ref != "" || req.Contains != ""):
		return errors.New("the id says which bundle it is: ref and contains do not go with it")
	}
	return nil
}

// set takes in one parameter.
func (req *Request) set(key, value string) (err error) {
	switch key {
	case "ref":
		if !legalRef(value) {
			return fmt.Errorf("ref=%q is neither a commit id nor a legal name of a branch or tag", errtext.Word(value, 100))
		}
		req.Want.Ref = value
		if lower := strings.ToLower(value); git.IsID(lower) {
			req.Want.Ref = lower
		}
	case "contains":
		if req.Contains = strings.ToLower(value); !git.IsID(req.Contains) {
			return fmt.Errorf("contains=%q is not a full commit id", errtext.Word(value, 100))
		}
	case "format":
		name, sum := strings.CutSuffix(value, ".sha256")
		req.Sum, req.Bundle = sum, name == "bundle"
		if req.Bundle {
			return nil
		}
		if req.Want.Format = FindFormat(name); req.Want.Format == nil {
			return fmt.Errorf("format=%q is unknown; there are tar, tar.gz, tar.zst, zip and bundle, "+
				"and the digest of each, such as tar.sha256", errtext.Word(value, 40))
		}
	case "id":
		if req.BundleID = value; !git.IsID(value) || len(value) != 64 {
			return fmt.Errorf("id=%q is no id of a bundle", errtext.Word(value, 100))
		}
	case "prefix":
		req.Want.Prefix, err = ParsePrefix(value)
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
