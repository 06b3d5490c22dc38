package git

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/reconquest/sould/internal/lsrefs"
)

// A list of refs is a request or two, and git takes processes for it: itself, its helper, and a
// shell that limits them. So the list of an http or https origin is asked for here (package
// lsrefs), with all that git would be told, and git is asked whenever that does not work out,
// for whatever reason: what is wrong is said in its words, wherever they come from.

// listOverWeb asks for refs without git. done is false if git has to be asked.
func (g *Git) listOverWeb(ctx context.Context, r Remote, prefixes []string) (l Listing, done bool, err error) {
	u := r.webURL()
	if u == nil {
		return Listing{}, false, nil
	}
	list, err := g.web.List(ctx, g.webRequest(r, u, prefixes))
	switch {
	case ctx.Err() != nil:
		c := g.listing(r, "0")
		return Listing{}, true, c.error(ctx, err, "")
	case err != nil:
		return Listing{}, false, nil
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

// webRequest is what git would be told of a remote.
func (g *Git) webRequest(r Remote, u *url.URL, prefixes []string) lsrefs.Request {
	return lsrefs.Request{
		URL: r.URL, Header: r.headers(), CAFile: r.CAFile, Direct: r.Direct, Classic: !r.mayNeedV2(),
		Prefixes: prefixes, Login: r.login(u), Follow: g.followable(r),
	}
}

// CloseIdle closes the connections that are kept for the next list.
func (g *Git) CloseIdle() { g.web.Close() }

// login is how a remote answers a server that wants to know who asks, if that is known here: a
// name that was completed, or what git's library would find in the user's file.
func (r Remote) login(u *url.URL) func() (user, password string, ok bool) {
	switch {
	case r.userOnly():
		return func() (string, string, bool) { return r.User, r.netrc, true }
	case slices.ContainsFunc(r.headers(), func(line string) bool { return strings.HasPrefix(strings.ToLower(line), "authorization:") }):
		return nil // it was told
	}
	return func() (user, password string, ok bool) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", "", false
		}
		text, err := os.ReadFile(filepath.Join(home, ".netrc"))
		if err != nil {
			return "", "", false
		}
		return netrcLogin(string(text), u.Hostname())
	}
}

// netrcLogin is the one user that the text of a file ~/.netrc has for a host. Where it has several,
// or anything that versions of git's library read in different ways, ok is false.
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

// followable tells of each redirect of a remote where the repository is now, or that git has to
// be asked.
func (g *Git) followable(r Remote) func(*url.URL) (string, bool) {
	if r.Direct {
		return nil
	}
	return func(target *url.URL) (string, bool) {
		base, err := g.checkRedirect(r, target, errors.New("it is not followed"))
		return base, err == nil
	}
}
