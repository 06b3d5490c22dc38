package insight

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/page"
	"github.com/reconquest/sould/internal/why"
)

// Query is what somebody wants to see of all mirrors.
type Query struct {
	Text  string // a part of the name; empty for any
	State string // one of the states below; empty for any
	Sort  string // one of the orders below; empty for that of the names
	From  int    // the first row, counted from 0
}

// state is a class of mirrors that a reader can choose.
type state struct {
	name, label string
	level       why.Level
}

// states are all classes, the worst first.
var states = []state{
	{"failing", "failing", why.Bad},
	{"behind", "behind elsewhere", why.Warn},
	{"hook", "hook broken", why.Warn},
	{"never", "never pulled", why.Warn},
	{"updating", "updating", why.Work},
	{"ok", "up to date", why.Good},
}

// orders are the orders of the table.
var orders = []page.Choice{
	{Value: "", Label: "by name"},
	{Value: "state", Label: "worst first"},
	{Value: "age", Label: "oldest pull first"},
	{Value: "recent", Label: "latest pull first"},
}

const maxSearch = 200 // bytes of the text that is searched for

// ParseQuery reads the query of a page. What makes no sense is as if it were not there.
func ParseQuery(values url.Values) Query {
	q := Query{
		Text: errtext.Clip(strings.TrimSpace(values.Get("q")), maxSearch), State: values.Get("state"), Sort: values.Get("sort"),
		From: ParseFrom(values),
	}
	if !slices.ContainsFunc(states, func(s state) bool { return s.name == q.State }) {
		q.State = ""
	}
	if !slices.ContainsFunc(orders, func(o page.Choice) bool { return o.Value == q.Sort }) {
		q.Sort = ""
	}
	return q
}

// ParseFrom reads the index of the first row that a query wants; 0 if it makes no sense.
func ParseFrom(values url.Values) int {
	from, err := strconv.Atoi(values.Get("from"))
	if err != nil || from < 0 {
		return 0
	}
	return from
}

// entry is a mirror, as far as the choice needs it.
type entry struct {
	m      *mirror.Mirror
	snap   *mirror.Snapshot // nil if it cannot be read
	state  int              // index in states
	behind []string         // slaves that are behind
}

// choose returns the entries that a query selects, in its order. It may reorder all.
func (q Query) choose(all []entry) []entry {
	text := strings.ToLower(q.Text)
	chosen := slices.DeleteFunc(all, func(e entry) bool {
		return q.State != "" && states[e.state].name != q.State ||
			text != "" && !strings.Contains(strings.ToLower(e.m.Name.String()), text)
	})
	switch q.Sort { // stable, so that equal ones stay in the order of their names
	case "state":
		slices.SortStableFunc(chosen, func(a, b entry) int { return cmp.Compare(a.state, b.state) })
	case "age":
		slices.SortStableFunc(chosen, func(a, b entry) int { return a.pulled().Compare(b.pulled()) })
	case "recent":
		slices.SortStableFunc(chosen, func(a, b entry) int { return b.pulled().Compare(a.pulled()) })
	}
	return chosen
}

func (e entry) pulled() (at time.Time) {
	if e.snap != nil {
		at = e.snap.Pulled
	}
	return at
}

// with returns the link to the overview with another first row.
func (q Query) with(from int) string {
	at := ""
	if from > 0 {
		at = strconv.Itoa(from)
	}
	return link("/", "q", q.Text, "state", q.State, "sort", q.Sort, "from", at)
}
