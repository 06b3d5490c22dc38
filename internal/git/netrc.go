package git

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/reconquest/sould/internal/credential"
)

// If a URL has a user without a password, the password may be in ~/.netrc. Git leaves that file
// to curl, which looks up a user only if it is part of the URL. But the URL is an argument,
// which everybody on the machine can read, and the user may be a token. So this package reads
// the file (netrc(5); curl's documentation of CURLOPT_NETRC), and tells git by a credential
// helper.

// withNetrc is the remote with the password from ~/.netrc, if it has only a user, and with all that
// may be sent from there.
func (r Remote) withNetrc() Remote {
	u := r.webURL()
	if u == nil || r.Password != "" {
		return r
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return r
	}
	text, err := os.ReadFile(filepath.Join(home, ".netrc"))
	if err != nil {
		return r // git and curl ignore that too
	}
	if r.User != "" {
		r.netrc = netrcPassword(string(text), u.Hostname(), r.User)
	}
	for _, e := range netrcEntries(string(text)) {
		if e.isFor(u.Hostname()) {
			r.mayBeSent = append(r.mayBeSent, credential.Basic(e.login, e.password))
		}
	}
	return r
}

// userOnly reports whether the remote has a user without a password.
func (r Remote) userOnly() bool { return r.User != "" && r.Password == "" }

// credentialHelper is a setting, with its variables, which answers git's question for
// credentials. Git asks only if the origin wants credentials, which most do not. The password
// is empty if none is known: a token in the place of a user needs none.
func (r Remote) credentialHelper(u *url.URL) (settings, env []string) {
	// The helper must read what git writes, or git dies of a broken pipe.
	const helper = `!f() { while read -r line; do :; done; test "$1" = get && printf 'username=%s\npassword=%s\n' "$SOULD_USER" "$SOULD_PASSWORD"; }; f`
	settings = []string{"credential." + u.Scheme + "://" + u.Host + ".helper", helper}
	env = []string{
		"SOULD_USER=" + r.User, "SOULD_PASSWORD=" + r.netrc,
		"HOME=" + os.DevNull, // else curl takes the first user of the file
	}
	return settings, env
}

// netrcPassword finds the password of a user at a host in the text of a .netrc file. It returns
// "" if there is none, or if it has control characters, which git cannot be told.
func netrcPassword(text, host, user string) string {
	for _, e := range netrcEntries(text) {
		if e.isFor(host) && e.login == user && e.password != "" && !strings.ContainsFunc(e.password, unicode.IsControl) {
			return e.password
		}
	}
	return ""
}

// netrcEntry is what a .netrc file says of a host, or of all others.
type netrcEntry struct {
	host            string
	others          bool
	login, password string
}

func (e netrcEntry) isFor(host string) bool { return e.others || strings.EqualFold(e.host, host) }

// netrcEntries reads the text of a .netrc file.
func netrcEntries(text string) (entries []netrcEntry) {
	words := netrcWords(text)
	next := func() (word string) {
		if len(words) > 0 {
			word, words = words[0], words[1:]
		}
		return word
	}
	var none netrcEntry // what stands before the first host
	last := &none
	for len(words) > 0 {
		switch word := next(); word {
		case "machine", "default":
			e := netrcEntry{others: word == "default"}
			if !e.others {
				e.host = next()
			}
			entries = append(entries, e)
			last = &entries[len(entries)-1]
		case "login":
			last.login = next()
		case "password":
			last.password = next()
		case "account":
			next()
		}
	}
	return entries
}

// netrcWords splits the text of a .netrc file into words, without comments and macros. A macro
// ends with an empty line.
func netrcWords(text string) (words []string) {
	macro := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		macro = macro && line != ""
		for line != "" && !macro {
			var word string
			if word, line = netrcWord(line); word == "macdef" {
				macro = true
			} else if word != "" {
				words = append(words, word)
			}
		}
	}
	return words
}

// netrcWord cuts the first word off a line that is not empty and begins with it. A word in
// quotes may contain spaces and backslash escapes. A # begins a comment.
func netrcWord(line string) (word, rest string) {
	if line[0] == '#' {
		return "", ""
	}
	if line[0] != '"' {
		end := strings.IndexFunc(line, unicode.IsSpace)
		if end < 0 {
			return line, ""
		}
		return line[:end], strings.TrimSpace(line[end:])
	}
	var b strings.Builder
	for i := 1; i < len(line); i++ {
		switch c := line[i]; {
		case c == '"':
			return b.String(), strings.TrimSpace(line[i+1:])
		case c == '\\' && i+1 < len(line):
			i++
			b.WriteByte(escaped(line[i]))
		default:
			b.WriteByte(c)
		}
	}
	return "", "" // no closing quote
}

// escaped is the character that c stands for after a backslash.
func escaped(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}
