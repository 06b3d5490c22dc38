package git

import (
	"errors"
	"regexp"

	"github.com/reconquest/sould/internal/credential"
)

// noRepository are the words of git and of forges for a repository that is not there, or not for who
// asks. A page for people, such as that of a login, is no repository either.
var noRepository = regexp.MustCompile(`(?i)repository '' (not found|does not exist)|repository not found|no such repository|` +
	`project you were looking for could not be found|'' does not appear to be a git repository|access denied or repository not exported|` +
	`returned error: 4(01|03|04|10|51)|authentication failed|could not read (username|password)|` +
	`(info/refs|'') not valid: (is this a git repository|could not determine hash algorithm)|` +
	`unable to update url base from redirection`)

// errPage is why what git takes for an empty repository is none.
var errPage = errors.New("the origin answers with a page for people, such as that of a login, and not with a list of refs")

// toPage are sould's words for a redirect to such a page.
var toPage = regexp.MustCompile(`origin redirects to \S+, which is not a repository`)

// IsRefused reports whether a remote has answered that it has no such repository, or that whoever asks
// may not read it. It does not tell forges that are down, or that refuse everybody for a while.
func IsRefused(err error) bool {
	e := (*Error)(nil)
	if errors.Is(err, errPage) || credential.IsRefused(err) || credential.IsNone(err) {
		return true
	}
	if RetryAfter(err) > 0 {
		return false
	}
	return errors.As(err, &e) && e.Err == nil &&
		(noRepository.MatchString(quoted.ReplaceAllString(e.Stderr, "''")) || toPage.MatchString(err.Error()))
}
