package credential

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	// MaxAnswer is the longest answer of a command, in bytes.
	MaxAnswer = 64 << 10

	// maxValue is the longest user name, password or token, in bytes. Servers take headers of 8 KiB.
	maxValue = 8 << 10

	// latestTime is the latest time that is told from others, in seconds of Unix: no package overflows.
	latestTime = 1 << 40
)

// Login is what a server is sent to let somebody in. The zero value is none.
type Login struct {
	user, password string
	scheme, token  string // instead of user and password: an authentication scheme, and what it needs
	ofServer       bool   // whether it was the answer to a question without a path
}

// Basic is a login by a user and a password.
func Basic(user, password string) Login { return Login{user: user, password: password} }

// IsZero reports whether there is nothing to send.
func (l Login) IsZero() bool { return l == Login{} }

// Authorization is the value of the header of this name (RFC 9110, 11.6.2).
func (l Login) Authorization() string {
	if l.scheme != "" {
		return l.scheme + " " + l.token
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(l.user+":"+l.password))
}

// Secrets are the words that nobody may see, also as they are sent. Empty ones may be among them.
func (l Login) Secrets() []string {
	_, sent, _ := strings.Cut(l.Authorization(), " ")
	return []string{sent, l.user, l.password, l.token}
}

// question is what a command is asked for.
type question struct {
	server server
	path   string // of the repository, decoded, without a slash at the beginning and at the end
	user   string // that the origin's URL has; empty for none
}

// newQuestion is the question for the repository with this URL. Git does not ask for a path with
// control characters either: it could be taken for another line.
func newQuestion(u *url.URL, user string) (question, error) {
	q := question{serverOf(u), strings.Trim(u.Path, "/"), user}
	if strings.ContainsFunc(q.path+q.user+u.Host, unicode.IsControl) {
		return q, errors.New("the URL has control characters")
	}
	return q, nil
}

// ofServer is the same question without a path, which is how git asks unless its user has set
// credential.useHttpPath.
func (q question) ofServer() question { return question{q.server, "", q.user} }

// text is the question in git's protocol, with what was refused, if anything was.
func (q question) text(refused Login) []byte {
	protocol, host, _ := strings.Cut(string(q.server), "://")
	host = strings.TrimSuffix(host, map[string]string{"https": ":443", "http": ":80"}[protocol])
	var b strings.Builder
	line := func(key, value string) {
		if value != "" {
			b.WriteString(key + "=" + value + "\n")
		}
	}
	line("capability[]", "authtype")
	line("protocol", protocol)
	line("host", host)
	if !refused.ofServer {
		line("path", q.path)
	}
	if refused.scheme != "" {
		line("authtype", refused.scheme)
		line("credential", refused.token)
	}
	if refused.user != "" {
		line("username", refused.user)
	} else {
		line("username", q.user)
	}
	line("password", refused.password)
	return []byte(b.String())
}

// answer is what a command gives.
type answer struct {
	login   Login
	expires time.Time // zero if it does not say
	scope   string    // for which paths it is valid: one, or all below one with a slash at the end, or all if empty
}

// errNone is the error for a command that has no credentials.
var errNone = errors.New("it gives no credentials for this repository")

// errQuit is the same of one that does not want to be asked any more.
var errQuit = fmt.Errorf("%w", errNone)

// parseAnswer reads what a command has printed in answer to a question. Keys that mean nothing here
// are ignored. A path that ends in a slash says that the answer is valid for all repositories below
// it ("/" for all of the server); git ignores that.
func parseAnswer(q question, text []byte) (answer, error) {
	a := answer{login: Login{user: q.user}, scope: q.path}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if line == "" {
			break
		}
		key, value, ok := strings.Cut(line, "=")
		switch {
		case !ok || key == "":
			return answer{}, errors.New("it printed a line that is not key=value")
		case len(value) > maxValue:
			return answer{}, fmt.Errorf("it printed a value of %d bytes, %d at most", len(value), maxValue)
		case strings.ContainsFunc(value, unicode.IsControl):
			return answer{}, errors.New("it printed a value with control characters")
		}
		if err := a.take(q, key, value); err != nil {
			return answer{}, err
		}
	}
	return a, a.check()
}

// take takes one line of an answer.
func (a *answer) take(q question, key, value string) error {
	switch key {
	case "username":
		a.login.user = value
	case "password":
		a.login.password = value
	case "authtype":
		a.login.scheme = value
	case "credential":
		a.login.token = value
	case "quit":
		if value == "1" || value == "true" {
			return errQuit
		}
	case "path":
		if scope := strings.TrimPrefix(value, "/"); strings.HasSuffix(value, "/") && strings.HasPrefix(q.path+"/", scope) {
			a.scope = scope
		}
	case "password_expiry_utc":
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return errors.New("its password_expiry_utc is not a number of seconds")
		}
		if seconds != 0 { // git takes that for never
			a.expires = time.Unix(min(seconds, latestTime), 0)
		}
	}
	return nil
}

// check looks at an answer as a whole, and leaves one kind of credentials in it.
func (a *answer) check() error {
	l := &a.login
	if l.scheme != "" && l.token != "" {
		if strings.ContainsFunc(l.scheme, notInScheme) {
			return errors.New("its authtype is not a name")
		}
		a.login = Login{scheme: l.scheme, token: l.token}
		return nil
	}
	l.scheme, l.token = "", ""
	switch {
	case l.password == "":
		return errNone
	case l.user == "":
		return errors.New("it gives a password without a username")
	case strings.Contains(l.user, ":"):
		return errors.New("its username has a colon, which no server could tell from the password's")
	}
	return nil
}

func notInScheme(r rune) bool {
	return !('a' <= r|0x20 && r|0x20 <= 'z' || '0' <= r && r <= '9' || r == '-')
}
