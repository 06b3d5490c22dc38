package git

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/credential"
	"github.com/reconquest/sould/internal/units"
)

// Git's messages about a server are for somebody at a terminal: they speak of prompts, and of
// files that they do not name. But here the readers have sent a POST, or run the daemon. A hint
// tells them in their terms what is wrong and what to do.

// transport is a way to reach an origin.
type transport int

const (
	overWeb transport = 1 << iota // http and https
	overSSH
	overGit // git://
	onDisk  // a path, or file://
)

// transport tells how the remote is reached.
func (r Remote) transport() transport {
	scheme, _, isURL := strings.Cut(r.URL, "://")
	switch {
	case r.webURL() != nil:
		return overWeb
	case strings.HasPrefix(r.URL, "/") || scheme == "file" && isURL:
		return onDisk
	case scheme == "git" && isURL:
		return overGit
	default:
		return overSSH
	}
}

// hint is what certain words of git mean. The first hint that fits is used.
type hint struct {
	over  transport // one or several
	words *regexp.Regexp
	text  string // with %s for the origin; empty for loginHint
}

var hints = []hint{
	{overWeb, regexp.MustCompile(`(?i)authentication failed|could not read (username|password)|returned error: 401`), ""},
	{overWeb, regexp.MustCompile(`returned error: 403`),
		"the origin %s does not let this user read it: give that user access, or POST again with another user:password in the URL"},
	{overWeb, regexp.MustCompile(`(?i)repository '' not found|repository not found|project you were looking for could not be found`),
		"there is no repository at %s, or none that this user may see: check the URL, and if it is private POST again with user:password in it"},
	{overWeb, regexp.MustCompile(`(?i)certificate has expired`),
		"the certificate of the origin %s has expired: it has to be renewed there"},
	{overWeb, regexp.MustCompile(`(?i)no alternative certificate subject name matches|certificate subject name .*does not match|` +
		`certificate owner does not match`),
		"the certificate of the origin %s is for another host name: POST with the name that it is for"},
	{overWeb, regexp.MustCompile(`(?i)server( certificate)? verification failed|ssl certificate problem|certificate verify failed|` +
		`unable to get local issuer certificate|self[- ]signed certificate|peer certificate cannot be authenticated`),
		"the certificate of the origin %s is not one that this server trusts: name the certificate of its authority in the configuration (ca_file), and see that it is valid now"},

	{overSSH, regexp.MustCompile(`REMOTE HOST IDENTIFICATION HAS CHANGED`),
		"the ssh server of the origin %s has another host key than known_hosts says: if that is meant, remove the old key (ssh-keygen -R) and add the new one, as the user that sould runs as"},
	{overSSH, regexp.MustCompile(`(?i)host key verification failed|no .* host key is known for`),
		"the ssh server of the origin %s has a host key that is not known here: check it, and add it to known_hosts of the user that sould runs as"},
	{overSSH, regexp.MustCompile(`(?i)connect to host .* port .*: |could not resolve hostname`),
		"there is no connection to the ssh server of the origin %s: check the host and the port in the URL, and whether this machine can reach them"},
	{overSSH, regexp.MustCompile(`(?i)permission denied \(|permission denied, please try again|too many authentication failures|` +
		`no more authentication methods`),
		"the ssh server of the origin %s takes none of the keys of the user that sould runs as: give that user's public key read access there, or name a key with ssh_command"},
	{overSSH, regexp.MustCompile(`(?i)repository not found|'' does not appear to be a git repository|` +
		`project you were looking for could not be found|repository '' does not exist`),
		"there is no repository at %s, or none that the ssh key of the user that sould runs as may read: check the URL, and the key's access"},

	{overGit, regexp.MustCompile(`(?i)access denied or repository not exported`),
		"there is no repository at %s, or git daemon may not export it: check the URL, and the file git-daemon-export-ok there"},
	{onDisk, regexp.MustCompile(`(?i)dubious ownership`),
		"the origin %s belongs to another user than sould runs as, and git does not read it then: change its owner, or serve it over ssh or http"},
}

// withHint puts a hint before an error of git, if there is one. A remote that is another server
// of the cluster gets none.
func (r Remote) withHint(err error) error {
	e := (*Error)(nil)
	if r.Direct || !errors.As(err, &e) || e.Err != nil || errors.As(err, new(*credential.Error)) {
		return err
	}
	if wait := RetryAfter(err); wait > 0 {
		return fmt.Errorf("the origin asks to come again in %s: %w", units.FormatDuration(wait.Round(time.Second)), err)
	}
	if hint := r.hint(e.Stderr); hint != "" {
		return fmt.Errorf("%s: %w", hint, err)
	}
	return err
}

// hint returns the hint for git's words, or "".
func (r Remote) hint(stderr string) string {
	stderr = quoted.ReplaceAllString(stderr, "''") // a URL may have any words in it
	for _, h := range hints {
		switch {
		case h.over&r.transport() == 0 || !h.words.MatchString(stderr):
		case h.text == "":
			return r.loginHint()
		default:
			return fmt.Sprintf(h.text, r.URL)
		}
	}
	return ""
}

// loginHint says what to do if an origin wants credentials. It depends on where those that git
// sent came from, which git does not know.
func (r Remote) loginHint() string {
	switch {
	case r.Password != "":
		return fmt.Sprintf("the origin %s refuses the user and the password that it was sent, which are those of the POST or of an earlier one: "+
			"POST again with the right user:password in the URL", r.URL)
	case r.userOnly() && r.netrc != "":
		return fmt.Sprintf("the origin %s refuses the password that ~/.netrc of the user that sould runs as has for the URL's user: "+
			"correct it there, or POST again with user:password in the URL", r.URL)
	case r.userOnly():
		return fmt.Sprintf("the origin wants a password: %s has only a user, for whom ~/.netrc of the user that sould runs as has no password: "+
			"POST again with user:password in the URL, or add it there", r.URL)
	default:
		return fmt.Sprintf("the origin wants a user and a password: none came with %s, and ~/.netrc of the user that sould runs as has none that it takes: "+
			"POST again with user:password in the URL, or add them there", r.URL)
	}
}
