package git

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"unicode"
)

// A user without a password is a name for ~/.netrc to complete. Git leaves that file to
// curl, which looks for a name only if it is part of the URL, and the URL is an argument,
// which everybody on the machine can read; the name may be a token. So the file is read
// here (netrc(5); curl's documentation of CURLOPT_NETRC), and git is told by a credential
// helper.

// completed is the remote with the password that the user's file has for its user, if it
// comes without one.
func (r Remote) completed() Remote {
	u, err := url.Parse(r.URL)
	if r.User == "" || r.Password != "" || err != nil {
		return r
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return r
	}
	text, err := os.ReadFile(filepath.Join(home, ".netrc"))
	if err != nil {
		return r // as for git and curl, there is none
	}
	r.netrc = netrcPassword(string(text), u.Hostname(), r.User)
	return r
}

// nameOnly reports whether the remote has a user without a password.
func (r Remote) nameOnly() bool { return r.User != "" && r.Password == "" }

// helperOf is a setting and the variables with which git asks for nothing but what it gets
// told here, and only when the origin wants to know who it is: most take everybody. Where
// no password is known it is empty, which is what a token in the place of a name needs.
func (r Remote) helperOf(u *url.URL) (settings, env []string) {
	// What git writes must be read, or it dies of a broken pipe.
	const helper = `!f() { while read -r line; do :; done; test "$1" = get && printf 'username=%s\npassword=%s\n' "$SOULD_USER" "$SOULD_PASSWORD"; }; f`
	settings = []string{"credential." + u.Scheme + "://" + u.Host + ".helper", helper}
	env = []string{
		"SOULD_USER=" + r.User, "SOULD_PASSWORD=" + r.netrc,
		"HOME=" + os.DevNull, // or curl takes whatever name comes first in the file
	}
	return settings, env
}

// netrcPassword finds the password of a user at a host in the text of a file ~/.netrc. It
// is empty if there is none, or one that git cannot be told.
func netrcPassword(text, host, user string) string {
	var here bool // what is read is about the host
	var login, password string
	words := netrcWords(text)
	next := func() (word string) {
		if len(words) > 0 {
			word, words = words[0], words[1:]
		}
		return word
	}
	found := func() bool { return here && login == user && password != "" }
	for len(words) > 0 {
		switch word := next(); word {
		case "machine", "default":
			if found() {
				return password
			}
			here = word == "default" || strings.EqualFold(next(), host)
			login, password = "", ""
		case "login":
			login = next()
		case "password":
			password = next()
		case "account":
			next()
		}
	}
	if !found() || strings.ContainsFunc(password, unicode.IsControl) {
		return ""
	}
	return password
}

// netrcWords takes such a text apart, without its comments and macros. A macro ends with
// an empty line.
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

// netrcWord takes the first word off a line, which begins with it. In quotes it may have
// spaces, and what stands behind a backslash is itself. The rest of a line from # on is a
// comment.
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
	return "", "" // it has no end
}

// escaped is what a character behind a backslash stands for.
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
