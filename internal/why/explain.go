package why

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/units"
)

// Advice is the title of the part that says what the reader can do. A sentence in it may end with a
// colon and a command.
const Advice = "What you can do"

// Explain says why a mirror is as it is, what is being done about it, and what the reader can do.
// Parts that have nothing to say are left out.
func Explain(f Facts) Answer {
	headline, level := f.headline()
	a := Answer{Headline: f.Name + " " + headline, Level: level}
	for _, part := range []Part{
		{"Who asked for it", f.asked()},
		{"What the latest pull saw", f.saw()},
		{"What is where", f.where()},
		{"Who is told of it", f.told()},
		{"What happens now", f.next()},
		{Advice, f.advice()},
	} {
		if len(part.Sentences) > 0 {
			a.Parts = append(a.Parts, part)
		}
	}
	return a
}

// headline is what follows the name in the first line, and how bad it is.
func (f Facts) headline() (words string, level Level) {
	switch {
	case f.Storage != "":
		return "cannot be read: the storage of this server cannot be used.", Bad
	case !f.Exists && len(f.Runs) > 0:
		return "is being made: this server has no such mirror yet.", Work
	case !f.Exists && f.Loading:
		return "is not known yet: the server has just started, and still reads its storage.", Work
	case !f.Exists && !f.Deleted.IsZero() && f.Outcome != Failed:
		return "was removed on " + f.when(f.Deleted) + ".", None
	case !f.Exists && f.Outcome == Failed:
		return "could not be made: this server has no such mirror yet.", Bad
	case !f.Exists:
		return "is not here: this server has no such mirror.", None
	case f.Unreadable != "":
		return "cannot be read.", Bad
	case f.Damage != "":
		return "is damaged.", Bad
	case !f.Gone.IsZero():
		return "is kept, but its origin was deleted on " + f.when(f.Gone) + ".", Warn
	case f.Outcome == Failed && !f.Failing.IsZero():
		return "could not be updated since " + f.when(f.Failing) + ".", Bad
	case f.Outcome == Failed:
		return "could not be updated the last time.", Bad
	case len(f.Runs) > 0:
		return "is being updated.", Work
	case f.OriginRefused != "":
		return "is served, but not updated: this server may not read its origin.", Warn
	case f.Outcome != Success:
		return "was never pulled by this server.", Warn
	case f.isEmpty():
		return "is empty, as its origin is: " + f.when(f.Pulled) + ".", Warn
	default:
		return f.headlineOfSuccess()
	}
}

// headlineOfSuccess is the headline of a mirror whose latest pull has succeeded.
func (f Facts) headlineOfSuccess() (words string, level Level) {
	var behind []string
	for _, s := range f.Servers {
		if s.Slave && (s.Relation == Behind || s.Relation == Missing) {
			behind = append(behind, s.Address)
		}
	}
	switch {
	case len(behind) > 0:
		return "is up to date here, but not on " + strings.Join(behind, ", ") + ".", Warn
	case f.Shallow:
		return "is as its origin was on " + f.when(f.Pulled) + ", but a part of the history is missing.", Warn
	case !f.HookBroken.IsZero():
		return "is as its origin was on " + f.when(f.Pulled) + ", but its hook seems broken since " + f.when(f.HookBroken) + ".", Warn
	default:
		return "is as its origin was on " + f.when(f.Pulled) + ".", Good
	}
}

func (f Facts) isEmpty() bool { return f.Refs == 0 && f.Revision == "" }

// when formats a moment, and how long ago it is or how soon it comes.
func (f Facts) when(t time.Time) string {
	text := t.UTC().Format("2006-01-02 15:04:05 MST")
	if d := f.Now.Sub(t); d >= 0 {
		return text + " (" + units.FormatSpan(d) + " ago)"
	} else {
		return text + " (in " + units.FormatSpan(-d) + ")"
	}
}

// asked says who wanted the mirror, and when.
func (f Facts) asked() (all []string) {
	if !f.Made.At.IsZero() {
		made := "A read by " + f.Made.By + " has made it on " + f.when(f.Made.At) + "."
		if f.Own {
			made += " It is this server's own: others make it when somebody reads it there."
		}
		all = append(all, made)
	}
	if !f.Asked.At.IsZero() {
		by := ""
		if f.Asked.By != "" {
			by = " by " + f.Asked.By
		}
		all = append(all, "It was last asked for on "+f.when(f.Asked.At)+by+".")
	} else if f.Made.At.IsZero() && f.Exists && f.Unreadable == "" && f.Storage == "" {
		all = append(all, "No POST for it is known; somebody may have copied it in.")
	}
	if r := f.Refused; !r.At.IsZero() && r.At.After(f.Asked.At) {
		by := ""
		if r.By != "" {
			by = " of " + r.By
		}
		all = append(all, "A later request"+by+" on "+f.when(r.At)+" was refused: "+sentence(r.Words))
	}
	if !f.HookBroken.IsZero() {
		all = append(all, "The poll has found changes since "+f.when(f.HookBroken)+" that nobody had announced.")
	}
	if !f.Exists && f.Asked.At.IsZero() && f.Refused.At.IsZero() && f.Storage == "" && f.Outcome != Failed && len(f.Runs) == 0 && f.Demand.Removed.IsZero() {
		all = append(all, "Nobody has asked for it since this server started.")
	}
	return append(all, f.Demand.gone(f)...)
}

// saw says what came of the latest pull.
func (f Facts) saw() (all []string) {
	switch {
	case !f.Exists && f.Outcome == Failed && len(f.Runs) == 0:
		return []string{"It failed: " + sentence(f.Error)}
	case !f.Exists:
		return nil
	}
	switch f.Outcome {
	case Success:
		from := "its origin " + f.Origin
		if f.From != "" {
			from = "the peer " + f.From + ", which stood in for the origin " + f.Origin
		}
		all = append(all, "It succeeded: it read "+from+" on "+f.when(f.Pulled)+".")
		if f.isEmpty() {
			all = append(all, "The origin has no commits yet, so there is nothing to read: a tarball of it is answered with 409.")
		}
	case Failed:
		all = append(all, "It failed: "+sentence(f.Error))
		if !f.Pulled.IsZero() {
			all = append(all, "What is served is what the origin had on "+f.when(f.Pulled)+".")
		}
	case Never:
		if f.Unreadable == "" && len(f.Runs) == 0 {
			all = append(all, "There was none: what is served is what was found in the storage.")
		}
	}
	if !f.Gone.IsZero() {
		all = append(all, "The origin "+f.Origin+" was deleted on "+f.when(f.Gone)+", as "+f.GoneBy+" says: what it had is served on.")
	}
	if f.Shallow {
		all = append(all, "The mirror is shallow: it lacks a part of the history, which its origin may lack as well.")
	}
	if len(f.Warnings) > 0 {
		all = append(all, "It has odd objects, which are mirrored all the same: "+strings.Join(f.Warnings, ", ")+".")
	}
	if f.Retained > 0 {
		all = append(all, fmt.Sprintf("The origin has replaced or deleted %s, which this server keeps for %s.",
			count(f.Retained, "ref"), units.FormatSpan(f.Keep)))
	}
	return append(all, f.health()...)
}

// health says what is known of the mirror's objects.
func (f Facts) health() (all []string) {
	if f.Damage != "" {
		all = append(all, "The check of "+f.when(f.Checked)+" has found damage: "+sentence(f.Damage))
	}
	if !f.Rebuilt.IsZero() {
		all = append(all, "It was damaged, and rebuilt on "+f.when(f.Rebuilt)+".")
	}
	return all
}

// told says which URLs were told of what is here.
func (f Facts) told() (all []string) {
	for _, t := range f.Told {
		if !t.Since.IsZero() {
			words := t.URL + " is being told of a change of " + f.when(t.Since)
			if t.Error != "" {
				words += ", and has not accepted it yet: " + t.Error
			}
			all = append(all, sentence(words))
		}
		switch {
		case !t.At.IsZero() && t.Since.IsZero() && !f.Untold:
			all = append(all, t.URL+" was told of what is here on "+f.when(t.At)+".")
		case !t.At.IsZero():
			all = append(all, t.URL+" was last told of it on "+f.when(t.At)+".")
		}
	}
	if f.Untold && len(f.Told) > 0 {
		all = append(all, "It has changed, which "+count(len(f.Told), "URL")+" will be told of as soon as all servers have it so.")
	}
	return all
}

// where says which server has what.
func (f Facts) where() (all []string) {
	switch {
	case f.Storage != "":
		all = append(all, "This server cannot tell: "+sentence(f.Storage))
	case f.Unreadable != "":
		all = append(all, "This server has it, and cannot read it: "+sentence(f.Unreadable))
	case !f.Exists:
		all = append(all, "This server has nothing of it.")
	case f.isEmpty():
		all = append(all, "This server has it, without a ref.")
	case f.Revision == "":
		all = append(all, fmt.Sprintf("This server has %s, and no default branch.", count(f.Refs, "ref")))
	default:
		all = append(all, fmt.Sprintf("This server has %s; its default branch %s is at %s.", count(f.Refs, "ref"), shortRef(f.Branch), short(f.Revision)))
	}
	for _, s := range f.Servers {
		all = append(all, f.server(s))
	}
	return all
}

// server says what another server has.
func (f Facts) server(s Server) string {
	who := "The peer " + s.Address
	if s.Slave {
		who = "The slave " + s.Address
	}
	because := ""
	switch {
	case s.Error == "":
	case cause(s.Error) == cause(f.Error):
		because = " It failed for the same reason."
	default:
		because = " It says: " + sentence(s.Error)
	}
	at := ""
	if s.Revision != "" {
		at = " (at " + short(s.Revision) + ")"
	}
	pulled := ""
	if !s.Pulled.IsZero() {
		pulled = ", which it pulled on " + f.when(s.Pulled)
	}
	switch s.Relation {
	case Equal:
		return who + " has the same." + because
	case Behind:
		return who + " is behind" + at + pulled + "." + because
	case Ahead:
		if !f.Exists || f.Storage != "" || f.Unreadable != "" { // newer than nothing
			return who + " has it" + at + pulled + "." + because
		}
		return who + " has something newer" + at + pulled + "." + because
	case Missing:
		return who + " has no such mirror." + because
	case Busy:
		return who + " is pulling it now."
	case Removed:
		return who + " still has it, although it was removed here." + because
	case Apart:
		if s.Revision == "" {
			return who + " has none: what is made on demand is each server's own."
		}
		return who + " has one of its own" + at + pulled + "." + because
	case Other:
		return who + " has something else" + at + pulled + "." + because
	default:
		return who + f.unasked(s)
	}
}

// cause is what an error says before what came of asking other servers.
func cause(words string) string {
	words, _, _ = strings.Cut(words, "; ")
	return words
}

// unasked says why it is not known what a server has.
func (f Facts) unasked(s Server) string {
	switch {
	case s.Error == "":
		return " has not been asked since the mirror here has changed."
	case s.Since.IsZero():
		return " could not be asked: " + sentence(s.Error)
	default:
		return " cannot be asked since " + f.when(s.Since) + ": " + sentence(s.Error)
	}
}

// sentence makes words, such as an error, the end of a sentence.
func sentence(words string) string {
	words = strings.TrimSpace(words)
	if words == "" {
		return "no reason is known."
	}
	if strings.ContainsAny(words[len(words)-1:], ".!?") {
		return words
	}
	return words + "."
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// short is a commit as people write it.
func short(id string) string { return id[:min(len(id), 12)] }

// shortRef is a branch or tag as people call it.
func shortRef(ref string) string { return strings.TrimPrefix(ref, "refs/heads/") }

// post is the command of a POST for the mirror, with further fields.
func (f Facts) post(origin string, fields ...string) string {
	base := f.Base
	switch {
	case f.Slave:
		base = quote(masterURL)
	case base == "":
		base = "http://this-server"
	}
	command := "curl " + TokenFlag(f.Token) + "--data-urlencode " + quote("name="+f.Name) + " --data-urlencode " + quote("origin="+origin)
	for _, field := range fields {
		command += " --data-urlencode " + quote(field)
	}
	return command + " " + base
}

// TokenFlag is what a command of curl needs for a server with a token, and a space; empty for one without.
// It names the reader's variable, and not the token.
func TokenFlag(token bool) string {
	if !token {
		return ""
	}
	return `--header "Authorization: Bearer $TOKEN" `
}

// quote quotes a word for a shell.
func quote(word string) string {
	if !strings.ContainsFunc(word, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && !strings.ContainsRune("=:/._-+@,%", c)
	}) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// Link is where a server with that base URL explains a mirror. Without a base it is a path.
func Link(base, name string) string {
	return base + (&url.URL{Path: "/x/why/" + name}).EscapedPath()
}
