package git

import (
	"regexp"
	"strings"
)

// The separators of a URL, plain or escaped once or more often: a URL may be a value in the
// query of another one, or a part of its path.
const (
	colonForm = `(?::|%(?:25)*3a)`
	slashForm = `(?:/|%(?:25)*2f)`
	atForm    = `(?:@|%(?:25)*40)`
)

var (
	// userinfo is everything between a scheme and the last @ of a word: a password that was not
	// escaped may hold any character.
	userinfo = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)([^\s'"]+)@`)

	// escapedUserinfo is the same for an escaped URL, and for one with a single slash, since
	// proxies merge two slashes.
	escapedUserinfo = regexp.MustCompile(`(?i)((?:https?|(?:git\+)?ssh|ssh\+git|git|ftps?)` +
		colonForm + slashForm + `+)([^\s'"]+)` + atForm)

	// cutUserinfo is a URL whose port is no number, with all that follows: user and password,
	// if the text was cut off before the @.
	cutUserinfo = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)([^\s/@'"\[\]]*:(?:[0-9]+[^\s/@'"0-9:;,.?#)\]>…]|[^\s/@'"0-9])\S*)`)

	// bareUserinfo is a user and a password without a scheme.
	bareUserinfo = regexp.MustCompile(`(^|[\s'"/=(])([^\s'"/@:=(]+:[^\s'"/@]+)@`)
)

// Redact hides user names and passwords in the URLs of a text for people. A user without a
// password in an ssh URL stays: it is no secret, and the URL is useless without it.
func Redact(text string) string {
	if !strings.ContainsAny(text, ":%") { // most texts
		return text
	}
	text = userinfo.ReplaceAllStringFunc(text, func(m string) string {
		scheme, user, _ := strings.Cut(m, "://")
		if strings.Contains(strings.ToLower(scheme), "ssh") && !strings.ContainsAny(user, ":/") {
			return m
		}
		return scheme + "://***@"
	})
	if strings.ContainsAny(text, "@%") {
		text = redactEscaped(text)
		text = bareUserinfo.ReplaceAllString(text, "$1***@")
	}
	if strings.Contains(text, "://") {
		text = cutUserinfo.ReplaceAllString(text, "$1***")
	}
	return text
}

// redactEscaped is Redact for URLs that are escaped or lack a slash. A plain URL may have an
// escaped @ in its path, and stays.
func redactEscaped(text string) string {
	return escapedUserinfo.ReplaceAllStringFunc(text, func(m string) string {
		if strings.Contains(m, "://") {
			return m
		}
		groups := escapedUserinfo.FindStringSubmatch(m)
		return groups[1] + "***@"
	})
}

// wordUserinfo is everything between a scheme, escaped or not, and the last @.
var wordUserinfo = regexp.MustCompile(`(?is)([a-z][a-z0-9+.-]*` + colonForm + slashForm + `+)(.*)` + atForm)

// RedactWord is Redact for a single value from outside, such as the path of a request: a
// password in it may contain spaces and quotes, which end a URL in a text for people.
func RedactWord(word string) string {
	if !strings.ContainsAny(word, ":%") {
		return word
	}
	word = wordUserinfo.ReplaceAllStringFunc(word, func(m string) string {
		groups := wordUserinfo.FindStringSubmatch(m)
		if strings.Contains(strings.ToLower(groups[1]), "ssh") && isUser(groups[2]) {
			return m
		}
		return groups[1] + "***@"
	})
	return Redact(word)
}

// isUser reports whether s, which stands before an @, is a user without a password.
func isUser(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return strings.ContainsRune(":/%@ '\"", r) })
}
