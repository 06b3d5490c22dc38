// Package page renders what a server knows as pages for people with a browser.
//
// A page is whole without JavaScript. With it, a script asks for the page again when something has
// changed, and puts the new content in the place of the old one. Everything foreign goes through
// html/template, which escapes it; and were that not enough, [Policy] forbids the browser whatever
// does not come from this server as a file of its own.
//
//	page.go         the values that are shown, and their rendering
//	*.html          the templates
//	assets.go       the style sheet and the script
package page

import (
	"bytes"
	"embed"
	"html/template"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/units"
	"github.com/reconquest/sould/internal/why"
)

// Policy is the Content-Security-Policy of all pages.
const Policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// Frame is what every page has around its content.
type Frame struct {
	Now     time.Time
	Version string // of the content: a page with another one has other content
	Server  string // what the reader calls this server
	Role    string // "master" or "slave"
	Release string // of sould
	Token   bool   // commands need the server's token
}

// Overview is the page of the cluster.
type Overview struct {
	Frame
	Fault       string  // why the storage cannot be used; empty if it can
	Loading     bool    // the storage is still being read
	Counts      []Count // of mirrors by state; the first is that of all
	Servers     []Server
	Discoveries []Discovery
	Attention   []Attention // servers in trouble, and mirrors that fail, the longest first
	More        int         // mirrors of them that are not in Attention
	MoreLink    string

	Text, State, Sort string // what is searched for
	Sorts, States     []Choice
	Rows              []Row
	From, To, Total   int    // the rows are those from From to To, counted from 1
	Previous, Next    string // links; empty for none
}

// Count is how many mirrors are in a state.
type Count struct {
	Label   string
	N       int
	Level   why.Level
	Link    string
	Current bool // these are shown
}

// Choice is an element of a list to choose from.
type Choice struct {
	Value, Label string
	Current      bool
}

// Server is another server of the cluster, or this one.
type Server struct {
	Address string
	Kind    string // "this server", "slave", "peer"
	Level   why.Level
	State   string    // in a word or two
	Detail  string    // a sentence; may be empty
	Since   time.Time // zero if it does not matter
	Mirrors int       // -1 if it is not known
}

// Discovery is a forge whose repositories are looked at.
type Discovery struct {
	Table                       string
	Level                       why.Level
	State                       string    // in a few words
	Done                        time.Time // when it was last listed; zero for never
	Found, Wanted, Failed, Gone int
}

// Attention is a mirror or a server that somebody should look at.
type Attention struct {
	Name, Link string
	Level      why.Level
	Words      string
	Since      time.Time // zero if it is not known
}

// Row is a mirror in the table of all.
type Row struct {
	Name, Link string
	Level      why.Level
	State      string
	Note       string // may be empty
	Branch     string
	Revision   string
	Refs       int
	Pulled     time.Time // zero for never
}

// Mirror is the page of one mirror, or of a name that no mirror has.
type Mirror struct {
	Frame
	Name   string
	Exists bool // and can be read
	Answer why.Answer
	Origin string // without credentials
	From   string // the peer that was read last; empty for the origin
	Clone  string // the URL to clone from

	Downloads []Link
	Branch    string
	Revision  string
	Pulled    time.Time

	Refs           []Ref
	From1, To      int // the refs are those from From1 to To, counted from 1
	Total          int
	Previous, Next string

	Retained      []Retained
	RetainedTotal int
	Pulls         []Pull // the latest first
	WhyLink       string
}

// Link is something to follow.
type Link struct{ Label, URL string }

// Ref is a ref of a mirror.
type Ref struct {
	Name      string
	ID        string
	Default   bool
	Downloads []Link // none if a link would be too long
}

// Retained is a ref that the origin has replaced or deleted.
type Retained struct {
	Name, ID string
	At       time.Time
}

// Pull is a pull that has ended, or several equal ones in a row.
type Pull struct {
	Began, First time.Time
	Times        int
	Took         time.Duration
	By           string
	Level        why.Level
	Result       string
}

//go:embed *.html
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"script":  func() string { return scriptURL },
	"style":   func() string { return styleURL },
	"utc":     func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"iso":     func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"span":    span,
	"ago":     func(now, t time.Time) string { return span(now, t) + " ago" },
	"seconds": units.FormatSeconds,
	"sign":    func(level why.Level) string { return signs[level] },
	"moment":  func(now, t time.Time) moment { return moment{now, t} },
	"token":   why.TokenFlag,
	"advice":  func(title string) bool { return title == why.Advice },
	"command": splitCommand,
	"pager":   func(label, previous, next string) pager { return pager{label, previous, next} },
}).ParseFS(files, "*.html"))

// span formats the time that has passed. The clocks of two servers may differ a little.
func span(now, t time.Time) string { return units.FormatSpan(max(now.Sub(t), 0)) }

// signs are what stands for a level beside its colour, for those who do not see that.
var signs = map[why.Level]string{why.Good: "✓", why.Work: "↻", why.Warn: "▲", why.Bad: "✕", why.None: "–"}

// moment is a time as a page shows it.
type moment struct{ Now, At time.Time }

// words are a sentence, and the command with which it ends; empty for none.
type words struct{ Words, Command string }

// splitCommand takes the command from a sentence of advice.
func splitCommand(sentence string) words {
	before, command, ok := strings.Cut(sentence, ": curl ")
	if !ok {
		return words{sentence, ""}
	}
	return words{before + ":", "curl " + command}
}

// pager leads to the pages before and after this one.
type pager struct{ Label, Previous, Next string }

// Render returns the page as HTML.
func (o *Overview) Render() ([]byte, error) { return render("overview", o) }

// Render returns the page as HTML.
func (m *Mirror) Render() ([]byte, error) { return render("mirror", m) }

func render(name string, value any) ([]byte, error) {
	var b bytes.Buffer
	err := templates.ExecuteTemplate(&b, name, value)
	return b.Bytes(), err
}
