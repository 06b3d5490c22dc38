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

// Git follows the first redirect of an origin, which is what most want: a forge sends
// /r on to /r.git. But what it was told to send to one server, credentials above all, it
// then sends to another one as well, and it does not say where it was sent before it has
// gone there. So where that matters git follows none. If it fails for that reason it is
// asked once more, with a protocol of what it receives, and where the origin is, is
// decided here: at another path of the same server, or nowhere.

// maxRedirects is how many redirects in a row are followed.
const maxRedirects = 5

// guarded reports whether git itself must not follow redirects of the remote.
func (g *Git) guarded(r Remote) bool {
	return g.stay || r.Direct || r.User != "" || r.Password != "" || len(r.Headers) > 0
}

// following has a command work with a remote, or with the place on the same server that
// it redirects to.
func (g *Git) following(ctx context.Context, r Remote, work func(Remote) error) error {
	for left := maxRedirects; ; left-- {
		err := work(r)
		if !redirected(err) || r.Direct || !g.guarded(r) {
			return err
		}
		target, found := g.target(ctx, r)
		if !found {
			return err
		}
		if left == 0 {
			return fmt.Errorf("the origin redirects more than %d times: %w", maxRedirects, err)
		}
		if r.URL, err = g.decide(r, target, err); err != nil {
			return err
		}
	}
}

// redirectedText are the words of git for an answer that sends it elsewhere.
var redirectedText = regexp.MustCompile(`returned error: 3\d\d`)

func redirected(err error) bool {
	e := (*Error)(nil)
	return errors.As(err, &e) && e.Err == nil && redirectedText.MatchString(e.Stderr)
}

// listPath is what git asks of a repository first, behind its URL.
const listPath = "/info/refs?service=git-upload-pack"

// target asks the remote where it redirects to. found is false if it does not.
func (g *Git) target(ctx context.Context, r Remote) (target *url.URL, found bool) {
	var location string
	c := g.listing(r, "0")
	c.env = append(c.env, "GIT_TRACE_CURL=1", "GIT_TRACE_CURL_NO_DATA=1")
	c.trace = func(line string) {
		// There may be several answers, such as a proxy's before the origin's.
		if strings.HasPrefix(line, "HTTP/") {
			location = ""
		} else if name, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(name, "location") {
			location = strings.TrimSpace(value)
		}
	}
	c.stdout = io.Discard
	_ = g.run(ctx, c) // that it fails is known
	asked, err := url.Parse(strings.TrimRight(r.URL, "/") + listPath)
	if location == "" || err != nil {
		return nil, false
	}
	target, err = asked.Parse(location)
	return target, err == nil
}

// decide returns the URL of the repository to which the remote redirects, or why it is
// not followed there. reason is what git says of the redirect.
func (g *Git) decide(r Remote, target *url.URL, reason error) (string, error) {
	base, whole := strings.CutSuffix(target.String(), listPath)
	shown := base
	if !whole { // the rest of such a URL may hold what nobody should see
		shown = target.Scheme + "://" + target.Host + target.EscapedPath()
	}
	shown = redact(shown, r.Secrets())
	from, err := url.Parse(r.URL)
	switch {
	case !whole:
		return "", fmt.Errorf("the origin redirects to %s, which is no repository: %w", shown, reason)
	case err != nil || target.User != nil || !sameServer(from, target):
		why := "what it was sent, such as credentials, is not for another server"
		if g.stay {
			why = "only certain origins may be read"
		}
		return "", fmt.Errorf("the origin redirects to %s, which is not followed: %s. If that is where it is now, POST with it as origin: %w", shown, why, reason)
	case g.stay:
		if err := g.mayRead(base); err != nil {
			return "", fmt.Errorf("the origin redirects to %s, which is not followed: %w", shown, errors.Join(err, reason))
		}
	}
	return base, nil
}

// mayRead says whether an origin that another one redirects to may be read.
func (g *Git) mayRead(url string) error {
	if g.allow == nil {
		return errors.New("no redirect may be followed; if that is where it is now, POST with it as origin")
	}
	return g.allow(url)
}

// sameServer reports whether two URLs have the same scheme, host and port.
func sameServer(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

// port is that of an http or https URL.
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
