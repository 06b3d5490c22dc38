package git

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/reconquest/sould/internal/credential"
	"github.com/reconquest/sould/internal/lsrefs"
	"github.com/reconquest/sould/internal/publicnet"
)

// A list of refs is one request or two, but git starts three processes for it: a shell that limits
// memory, git, and its helper. So an http or https origin is asked in this process (package
// lsrefs), with all that git would be told. If the server refuses, the error is the one that git
// makes of the same answer: to ask again would be in vain, and servers may count that. After any
// other error git is asked. So all error messages are git's.

// listOverWeb asks for refs in this process. done is false if git has to be asked; err may say why.
func (g *Git) listOverWeb(ctx context.Context, r Remote, prefixes []string) (l Listing, done bool, err error) {
	u := r.webURL()
	if u == nil {
		return Listing{}, false, nil
	}
	web := g.web
	if r.Public {
		web = g.publicWeb
	}
	list, err := web.List(ctx, g.webRequest(r, u, prefixes))
	refusal := (*lsrefs.Refusal)(nil)
	switch refused := errors.As(err, &refusal); {
	case errors.As(err, new(*credential.Error)), errors.Is(err, publicnet.ErrPrivate):
		return Listing{}, true, err
	case refused:
		return Listing{}, true, g.refusedBoth(r, refusal)
	case err != nil && ctx.Err() != nil:
		c := g.listing(r, "0")
		return Listing{}, true, c.error(ctx, err, "")
	case err != nil:
		return Listing{}, false, err
	}
	l.Head = Head{Ref: list.HeadRef, ID: list.HeadID}
	l.Refs = make([]Ref, len(list.Refs))
	for i, ref := range list.Refs {
		if len(ref.Name) > maxRefName {
			return Listing{}, false, nil
		}
		l.Refs[i] = Ref(ref)
	}
	return l, true, nil
}

// refusedBoth is git's error for a server that refuses, perhaps in both versions of the protocol.
func (g *Git) refusedBoth(r Remote, a *lsrefs.Refusal) error {
	err := g.refused(r, a)
	if a.V2 == nil || !r.answered(err) {
		return err
	}
	return inBothVersions(err, g.refused(r, a.V2))
}

// refused is git's error for an answer with an error status (discover_refs in remote-curl.c).
func (g *Git) refused(r Remote, a *lsrefs.Refusal) error {
	stderr := stderrText{secrets: r.Secrets()}
	if a.Text != "" {
		for line := range strings.SplitSeq(a.Text, "\n") {
			_, _ = fmt.Fprintf(&stderr, "remote: %s\n", line)
		}
	}
	url := r.URL
	if !strings.HasSuffix(url, "/") {
		url += "/"
	}
	if a.Status == http.StatusNotFound {
		_, _ = fmt.Fprintf(&stderr, "fatal: repository '%s' not found\n", url)
	} else {
		_, _ = fmt.Fprintf(&stderr, "fatal: unable to access '%s': The requested URL returned error: %d\n", url, a.Status)
	}
	c := g.listing(r, "0")
	return &Error{Command: c.name, Args: redactAll(c.args, c.secrets), ExitCode: 128, Stderr: stderr.text(), RetryAfter: a.RetryAfter}
}

// webRequest is the request for the refs of a remote.
func (g *Git) webRequest(r Remote, u *url.URL, prefixes []string) lsrefs.Request {
	return lsrefs.Request{
		URL: r.URL, Header: r.Headers, Authorization: r.authorization(), CAFile: r.CAFile, Direct: r.Direct, V0: !r.mayNeedV2(),
		Prefixes: prefixes, Login: r.logins(u), Follow: g.followable(r),
	}
}

// CloseIdle closes the connections that are kept for the next list. The Git can be used afterwards.
func (g *Git) CloseIdle() {
	g.web.Close()
	if g.publicWeb != nil {
		g.publicWeb.Close()
	}
}

// logins returns the credentials for a server that asks for some: those of its command, those of a
// user whose password is in ~/.netrc, or those that git's library would find there.
func (r Remote) logins(u *url.URL) func(ctx context.Context, basic bool) (string, error) {
	switch {
	case r.asker != nil:
		return func(ctx context.Context, _ bool) (string, error) {
			login, err := r.asker.Next(ctx)
			return login.Authorization(), err
		}
	case r.authorization() != "", r.isAuthorized():
		return nil // it has them already
	}
	known := func() (user, password string, ok bool) { return r.User, r.netrc, true }
	if !r.userOnly() {
		known = func() (user, password string, ok bool) { return netrcOf(u.Hostname()) }
	}
	return func(_ context.Context, basic bool) (string, error) {
		user, password, ok := known()
		known = func() (user, password string, ok bool) { return "", "", false } // they were refused
		if !basic || !ok {
			return "", lsrefs.ErrNoLogin
		}
		return basicAuthorization(user, password), nil
	}
}

// netrcOf finds the user of a host in ~/.netrc.
func netrcOf(host string) (user, password string, ok bool) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", "", false
	}
	text, err := os.ReadFile(filepath.Join(home, ".netrc"))
	if err != nil {
		return "", "", false
	}
	return netrcLogin(string(text), host)
}

// netrcLogin finds the user of a host in the text of a .netrc file. ok is false if there is not
// exactly one, or if versions of git's library could read the file differently.
func netrcLogin(text, host string) (user, password string, ok bool) {
	for _, odd := range []string{`"`, "#", `\`, "macdef", "default", "account"} {
		if strings.Contains(text, odd) {
			return "", "", false
		}
	}
	found := 0
	for _, e := range netrcEntries(text) {
		if e.isFor(host) {
			found++
			user, password = e.login, e.password
		}
	}
	return user, password, found == 1 && user != "" && password != "" && !strings.ContainsFunc(user+password, unicode.IsControl)
}

// followable decides about redirects of a remote, as [lsrefs.Request] needs it.
func (g *Git) followable(r Remote) func(*url.URL) (string, bool) {
	if r.Direct {
		return nil
	}
	return func(target *url.URL) (string, bool) {
		base, err := g.checkRedirect(r, target, errors.New("it is not followed"))
		return base, err == nil
	}
}
