package git

import (
	"errors"
	"strings"
	"testing"
)

// TestHints: real messages of git, curl, ssh and forges.
func TestHints(t *testing.T) {
	const web, ssh, scp, daemon, path = "https://git.in.local/x.git", "ssh://git@git.in.local/x.git", "git@git.in.local:x.git", "git://git.in.local/x.git", "/srv/x.git"
	for _, c := range []struct {
		remote Remote
		stderr string
		want   string // words of the hint; empty for none
	}{
		{Remote{URL: web, User: "u", Password: "p"}, "fatal: Authentication failed for 'https://git.in.local/x.git/'", "refuses the user and the password"},
		{Remote{URL: web, User: "u", Password: "p"}, "fatal: could not read Username for 'https://git.in.local': terminal prompts disabled", "refuses the user and the password"},
		{Remote{URL: web, User: "u", netrc: "p"}, "fatal: Authentication failed for 'https://git.in.local/x.git/'", "refuses the password that ~/.netrc"},
		{Remote{URL: web, User: "u"}, "fatal: Authentication failed for 'https://git.in.local/x.git/'", "the origin wants a password"},
		{Remote{URL: web, User: "u"}, "fatal: could not read Password for 'https://u@git.in.local': terminal prompts disabled", "the origin wants a password"},
		{Remote{URL: web}, "fatal: could not read Username for 'https://git.in.local': terminal prompts disabled", "wants a user and a password"},
		{Remote{URL: web}, "fatal: could not read Username for 'https://git.in.local': No such device or address", "wants a user and a password"},
		{Remote{URL: web}, "remote: HTTP Basic: Access denied. If a password was provided for Git authentication, the password was incorrect\nfatal: Authentication failed for 'https://git.in.local/x.git/'", "~/.netrc"},
		{Remote{URL: web}, "fatal: unable to access 'https://git.in.local/x.git/': The requested URL returned error: 401", "wants a user and a password"},
		{Remote{URL: web}, "fatal: unable to access 'https://git.in.local/x.git/': The requested URL returned error: 403", "does not let this user read it"},
		{Remote{URL: web}, "remote: Repository not found.\nfatal: repository 'https://git.in.local/x.git/' not found", "no repository at " + web},
		{Remote{URL: web}, "fatal: repository 'https://git.in.local/x.git/' not found", "no repository at"},
		{Remote{URL: web}, "remote: The project you were looking for could not be found or you don't have permission to view it.\nfatal: repository 'https://git.in.local/x.git/' not found", "POST again with user:password"},
		{Remote{URL: web}, "fatal: unable to access 'https://git.in.local/x.git/': server certificate verification failed. CAfile: none CRLfile: none", "ca_file"},
		{Remote{URL: web}, "fatal: unable to access 'https://git.in.local/x.git/': server verification failed: certificate signer not trusted. (CAfile: /etc/ssl/certs/ca-certificates.crt CRLfile: none)", "ca_file"},
		{Remote{URL: web}, "fatal: unable to access 'https://git.in.local/x.git/': SSL certificate problem: unable to get local issuer certificate", "ca_file"},
		{Remote{URL: web}, "fatal: unable to access 'https://git.in.local/x.git/': SSL certificate problem: self-signed certificate in certificate chain", "ca_file"},
		{Remote{URL: web}, "fatal: unable to access 'https://git.in.local/x.git/': SSL certificate problem: certificate has expired", "has expired"},
		{Remote{URL: web}, "fatal: unable to access 'https://git.in.local/x.git/': SSL: no alternative certificate subject name matches target host name 'git.in.local'", "another host name"},
		{Remote{URL: web}, "fatal: unable to access 'https://git.in.local/x.git/': SSL: certificate subject name 'other' does not match target host name 'git.in.local'", "another host name"},

		{Remote{URL: ssh}, "git@git.in.local: Permission denied (publickey).\r\nfatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists.", "public key read access"},
		{Remote{URL: scp}, "git@git.in.local: Permission denied (publickey,password).\nfatal: Could not read from remote repository.", "ssh_command"},
		{Remote{URL: scp}, "Received disconnect from 192.0.2.1 port 22:2: Too many authentication failures\nfatal: Could not read from remote repository.", "ssh_command"},
		{Remote{URL: ssh}, "ssh: connect to host git.in.local port 22: Connection refused\r\nfatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists.", "check the host and the port"},
		{Remote{URL: scp}, "ssh: Could not resolve hostname git.in.local: Name or service not known\r\nfatal: Could not read from remote repository.", "check the host and the port"},
		{Remote{URL: ssh}, "Host key verification failed.\nfatal: Could not read from remote repository.", "add it to known_hosts"},
		{Remote{URL: ssh}, "No ED25519 host key is known for git.in.local and you have requested strict checking.\nHost key verification failed.\nfatal: Could not read from remote repository.", "add it to known_hosts"},
		{Remote{URL: scp}, "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key verification failed.\nfatal: Could not read from remote repository.", "ssh-keygen -R"},
		{Remote{URL: scp}, "ERROR: Repository not found.\nfatal: Could not read from remote repository.", "the key's access"},
		{Remote{URL: scp}, "fatal: 'x.git' does not appear to be a git repository\nfatal: Could not read from remote repository.", "check the URL"},

		{Remote{URL: daemon}, "fatal: remote error: access denied or repository not exported: /x.git", "git-daemon-export-ok"},
		{Remote{URL: path}, "fatal: detected dubious ownership in repository at '/srv/x.git'", "change its owner"},

		// Messages of other programs, and words that are only part of a name.
		{Remote{URL: path}, "fatal: '/srv/x.git' does not appear to be a git repository", ""},
		{Remote{URL: web}, "fatal: unable to access 'https://git.in.local/x.git/': Could not resolve host: git.in.local", ""},
		{Remote{URL: web}, "fatal: unable to access 'https://git.in.local/authentication failed/': Empty reply from server", ""},
		{Remote{URL: web}, "git@git.in.local: Permission denied (publickey).", ""},
		{Remote{URL: web}, "", ""},
	} {
		got := c.remote.hint(c.stderr)
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%q: %q, want %q", c.stderr, got, c.want)
		}
		if Redact(got) != got {
			t.Errorf("%q would not be shown as it is", got)
		}
		err := &Error{Stderr: c.stderr}
		hinted := c.remote.withHint(err)
		if !errors.Is(hinted, err) || c.want != "" && !strings.HasSuffix(hinted.Error(), c.stderr) {
			t.Errorf("%q is not the reason of %v", c.stderr, hinted)
		}
		c.remote.Direct = true
		if c.remote.withHint(err) != err {
			t.Errorf("%q: a hint about another server of the cluster", c.stderr)
		}
	}
}
