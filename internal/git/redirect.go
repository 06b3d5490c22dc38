package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"
)

// Git follows the first redirect of an origin, which most people want: a forge redirects /r to
// /r.git. But git sends credentials and other headers to the second server too, and it does not
// say where it was redirected before it goes there. So where that matters, git follows no
// redirect. If it fails for that reason, it is asked once more, with a trace of the headers
// that it receives, and followRedirects decides: only another path of the same server is
// followed.

// maxRedirects is how many redirects in a row are followed.
const maxRedirects = 5

// followsItself reports whether git may follow redirects of the remote without asking.
func (g *Git) followsItself(r Remote) bool {
	return !g.restrictRedirects && !r.Direct && r.User == "" && len(r.headers()) == 0
}

// followRedirects calls work with a remote, and again with the place on the same server that it
// redirects to.
func (g *Git) followRedirects(ctx context.Context, r Remote, work func(Remote) error) error {
	for left := maxRedirects; ; left-- {
		err := work(r)
		if !redirected(err) || r.Direct || g.followsItself(r) {
			return err
		}
		target, found := g.redirectTarget(ctx, r)
		if !found {
			return err
		}
		if left == 0 {
			return fmt.Errorf("the origin redirects more than %d times: %w", maxRedirects, err)
		}
		if r.URL, err = g.checkRedirect(r, target, err); err != nil {
			return err
		}
	}
}

// redirectedText are git's words for a redirect that it does not follow.
var redirectedText = regexp.MustCompile(`returned error: 3\d\d`)

func redirected(err error) bool {
	e := (*Error)(nil)
	return errors.As(err, &e) && e.Err == nil && redirectedText.MatchString(e.Stderr)
}

// listPath is what git appends to the URL of a repository for its first request.
const listPath = "/info/refs?service=git-upload-pack"

// redirectTarget asks the remote where it redirects to. found is false if it does not redirect.
func (g *Git) redirectTarget(ctx context.Context, r Remote) (target *url.URL, found bool) {
	var location string
	c := g.listing(r, "0")
	c.env = append(c.env, "GIT_TRACE_CURL=1", "GIT_TRACE_CURL_NO_DATA=1")
	c.trace = func(line string) {
		// There may be several responses, such as a proxy's before the origin's.
		if strings.HasPrefix(line, "HTTP/") {
			location = ""
		} else if name, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(name, "location") {
			location = strings.TrimSpace(value)
		}
	}
	c.stdout = io.Discard
	_ = g.run(ctx, c) // it fails, as before
	asked, err := url.Parse(strings.TrimRight(r.URL, "/") + listPath)
	if location == "" || err != nil {
		return nil, false
	}
	target, err = asked.Parse(location)
	return target, err == nil
}

// checkRedirect returns the URL of the repository that the remote redirects to, or an error
// that says why the redirect is not followed. reason is git's error about the redirect.
func (g *Git) checkRedirect(r Remote, target *url.URL, reason error) (string, error) {
	base, whole := strings.CutSuffix(target.String(), listPath)
	shown := base
	if !whole { // its query may contain secrets
		shown = target.Scheme + "://" + target.Host + target.EscapedPath()
	}
	shown = redact(shown, r.Secrets())
	from, err := url.Parse(r.URL)
	switch {
	case !whole:
		return "", fmt.Errorf("the origin redirects to %s, which is not a repository: %w", shown, reason)
	case err != nil || target.User != nil || !sameServer(from, target):
		why := "what it was sent, such as credentials, is not for another server"
		if g.restrictRedirects {
			why = "only certain origins may be read"
		}
		return "", fmt.Errorf("the origin redirects to %s, which is not followed: %s. If that is where it is now, POST with it as origin: %w", shown, why, reason)
	case g.restrictRedirects:
		if err := g.checkAllowed(base); err != nil {
			return "", fmt.Errorf("the origin redirects to %s, which is not followed: %w", shown, errors.Join(err, reason))
		}
	}
	return base, nil
}

// checkAllowed returns an error if a redirect to this URL must not be followed.
func (g *Git) checkAllowed(url string) error {
	if g.allowRedirect == nil {
		return errors.New("no redirect may be followed; if that is where it is now, POST with it as origin")
	}
	return g.allowRedirect(url)
}

// sameServer reports whether two URLs have the same scheme, host and port.
func sameServer(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

// port is the port of an http or https URL.
func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case strings.EqualFold(u.Scheme, "https"):
		return "443"
	default:
		return "80"
	}
}
