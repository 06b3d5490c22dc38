package git

import (
	"regexp"
	"strings"
)

// The characters that take a URL apart, as themselves or escaped once or more often: a URL
// that is a value of a query or a part of a path may come in either form.
const (
	colonForm = `(?::|%(?:25)*3a)`
	slashForm = `(?:/|%(?:25)*2f)`
	atForm    = `(?:@|%(?:25)*40)`
)

var (
	// userinfo is what stands between a scheme and the last @ of a word: a password may
	// hold anything, if somebody forgot to escape it.
	userinfo = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)([^\s'"]+)@`)

	// escapedUserinfo is the same of a URL that is escaped, or of one that lacks a slash, as
	// proxies merge two into one.
	escapedUserinfo = regexp.MustCompile(`(?i)((?:https?|(?:git\+)?ssh|ssh\+git|git|ftps?)` +
		colonForm + slashForm + `+)([^\s'"]+)` + atForm)

	// cutUserinfo is a URL whose host has a port that is none: what is left of user and
	// password if the text was cut off before the @, and all that follows.
	cutUserinfo = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)([^\s/@'"\[\]]*:(?:[0-9]+[^\s/@'"0-9:;,.?#)\]>…]|[^\s/@'"0-9])\S*)`)

	// bareUserinfo is a user with a password where the scheme is missing.
	bareUserinfo = regexp.MustCompile(`(^|[\s'"/=(])([^\s'"/@:=(]+:[^\s'"/@]+)@`)
)

// Redact hides user names and passwords of URLs in a text for people. The user
// of an ssh URL stays if it stands alone: it is no secret, and the URL means
// nothing without it.
func Redact(text string) string {
	if !strings.ContainsAny(text, ":%") { // as most are
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

// redactEscaped is Redact for URLs that are escaped or lack a slash. What is a URL as it
// should be may have an escaped @ in its path, and stays.
func redactEscaped(text string) string {
	return escapedUserinfo.ReplaceAllStringFunc(text, func(m string) string {
		if strings.Contains(m, "://") {
			return m
		}
		groups := escapedUserinfo.FindStringSubmatch(m)
		return groups[1] + "***@"
	})
}

// wordUserinfo is what stands between a scheme, or the beginning, and the last @.
var wordUserinfo = regexp.MustCompile(`(?is)([a-z][a-z0-9+.-]*` + colonForm + slashForm + `+)(.*)` + atForm)

// RedactWord is Redact for a text that is one value from outside, such as the path of a
// request: a password in it may have spaces and quotes, which would end a URL in a text for
// people.
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

// isUser reports whether what stands before an @ is a name without a password.
func isUser(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return strings.ContainsRune(":/%@ '\"", r) })
}
