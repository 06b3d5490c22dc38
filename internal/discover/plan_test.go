package discover

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
)

func url(t *testing.T, path string) origin.URL {
	t.Helper()
	o, err := origin.Parse("https://h/"+path+".git", false)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestPlan has a table of situations. A repository is written "id:path"; what is known "id:name@origin",
// with ! after it if its mirror was made here, a digit for the listings in which it was missing, and - if it
// is marked as gone; a mirror that is here "name@origin", with * if it was made on demand, ? if it cannot be read, and - if it is
// marked as gone; "name@x" for one that somebody has removed.
func TestPlan(t *testing.T) {
	for name, c := range map[string]struct{ known, listed, left, here, orders, next, gone, out string }{
		"new":                     {listed: "1:a 2:b", orders: "create a@a, create b@b", next: "1:a@a 2:b@b"},
		"new, and here already":   {listed: "1:a", here: "a@a", next: "1:a@a!"},
		"new, made by a read":     {listed: "1:a", here: "a@a*", orders: "create a@a", next: "1:a@a!"},
		"new, of a taken name":    {listed: "1:a", here: "a@z", out: "1 whose name belongs to another mirror"},
		"nothing new":             {known: "1:a@a!", listed: "1:a", here: "a@a", next: "1:a@a!"},
		"not made last time":      {known: "1:a@a", listed: "1:a", orders: "create a@a", next: "1:a@a"},
		"not made, renamed":       {known: "1:a@a", listed: "1:b", orders: "create b@b", next: "1:b@b"},
		"renamed":                 {known: "1:a@a!", listed: "1:b", here: "a@a", orders: "move a@b from a", next: "1:a@a!"},
		"renamed, moved by hook":  {known: "1:a@a!", listed: "1:b", here: "a@b", next: "1:a@b!"},
		"renamed, moved by hand":  {known: "1:a@a!", listed: "1:b", here: "a@z", next: "1:a@a!", out: "1 whose name belongs to another mirror"},
		"renamed, old name anew":  {known: "1:a@a!", listed: "1:b 2:a", here: "a@a", orders: "move a@b from a", next: "1:a@a!", out: "1 whose name belongs to another mirror"},
		"swapped":                 {known: "1:a@a! 2:b@b!", listed: "1:b 2:a", here: "a@a b@b", orders: "move a@b from a, move b@a from b", next: "1:a@a! 2:b@b!"},
		"removed here":            {known: "1:a@a!", listed: "1:a", next: "1:a@a!", out: "1 whose mirror was removed here"},
		"removed, and forgotten":  {listed: "1:a", here: "a@x", next: "1:a@a!", out: "1 whose mirror was removed here"},
		"unreadable":              {known: "1:a@a!", listed: "1:a", here: "a@a?", next: "1:a@a!", out: "1 whose mirror cannot be read"},
		"missing once":            {known: "1:a@a!", here: "a@a", next: "1:a@a!1"},
		"missing twice":           {known: "1:a@a!1", here: "a@a", next: "1:a@a!2", gone: "1"},
		"the mark failed":         {known: "1:a@a!2", here: "a@a", next: "1:a@a!2", gone: "1"},
		"gone":                    {known: "1:a@a!2-", here: "a@a-", next: "1:a@a!2-"},
		"gone, and removed":       {known: "1:a@a!2-"},
		"missing, moved by hand":  {known: "1:a@a!", here: "a@z"},
		"missing, unreadable":     {known: "1:a@a!1", here: "a@a?", next: "1:a@a!1"},
		"missing, never made":     {known: "1:a@a"},
		"missing once, and back":  {known: "1:a@a!1", listed: "1:a", here: "a@a", next: "1:a@a!"},
		"returned, was pulled":    {known: "1:a@a!2-", listed: "1:a", here: "a@a", next: "1:a@a!"},
		"gone says a webhook":     {known: "1:a@a!", listed: "1:a", here: "a@a-", orders: "return a@a", next: "1:a@a!-"},
		"gone, and not yet known": {known: "1:a@a!1", listed: "1:a", here: "a@a-", orders: "return a@a", next: "1:a@a!-"},
		"returned":                {known: "1:a@a!2-", listed: "1:a", here: "a@a-", orders: "return a@a", next: "1:a@a!-"},
		"returned, renamed":       {known: "1:a@a!2-", listed: "1:b", here: "a@a-", orders: "move a@b from a", next: "1:a@a!-"},
		"not wanted any more":     {known: "1:a@a!1", left: "1", here: "a@a", next: "1:a@a!"},
		"not wanted, never made":  {known: "1:a@a", left: "1"},
		"two of one name":         {listed: "1:a 2:a", orders: "create a@a", next: "1:a@a", out: "1 whose name belongs to another mirror"},
		"another id, same place":  {known: "1:a@a!", listed: "2:a", here: "a@a", next: "1:a@a!1 2:a@a!"},
		"made anew at the forge":  {known: "1:a@a!1", listed: "2:a", here: "a@a", next: "1:a@a!2 2:a@a!", gone: "1"},
		"known of somebody else":  {known: "1:b@a!", listed: "1:a", here: "a@a b@a", next: "1:b@a!"},
		"on demand and forgotten": {known: "1:a@a!", listed: "1:a", here: "a@a*", orders: "create a@a", next: "1:a@a!"},
	} {
		t.Run(name, func(t *testing.T) {
			known := make(map[string]Known)
			for word := range strings.FieldsSeq(c.known) {
				id, rest, _ := strings.Cut(word, ":")
				name, rest, _ := strings.Cut(rest, "@")
				k := Known{Path: name, Name: name, Origin: url(t, rest[:1]).String()}
				for _, sign := range rest[1:] {
					switch sign {
					case '!':
						k.Made = true
					case '-':
						k.Gone = true
					default:
						k.Missing = int(sign - '0')
					}
				}
				known[id] = k
			}
			listed := make(map[string]bool)
			var chosen []Candidate
			for word := range strings.FieldsSeq(c.listed) {
				id, path, _ := strings.Cut(word, ":")
				name, err := storage.ParseName(path)
				if err != nil {
					t.Fatal(err)
				}
				listed[id] = true
				chosen = append(chosen, Candidate{id, path, name, url(t, path)})
			}
			for id := range strings.FieldsSeq(c.left) {
				listed[id] = true
			}
			p := plan(known, listed, chosen, func(name storage.Name) (h Here) {
				for word := range strings.FieldsSeq(c.here) {
					if called, from, _ := strings.Cut(word, "@"); called == name.String() {
						h = Here{
							Exists: from != "x", Unreadable: strings.HasSuffix(from, "?"), Removed: from == "x",
							OnDemand: strings.HasSuffix(from, "*"), Gone: strings.HasSuffix(from, "-"), Origin: url(t, from[:1]),
						}
						if h.OnDemand { // the table of [[ondemand]] spells it otherwise
							h.Origin, _ = origin.Parse("https://h/"+from[:1], false)
						}
					}
				}
				return h
			})
			var orders []string
			for _, o := range p.Orders {
				text := fmt.Sprintf("%s %s@%s", o.Verb, o.Name, short(o.Origin.String()))
				if o.From.Known() {
					text += " from " + short(o.From.String())
				}
				orders = append(orders, text)
			}
			if got := strings.Join(orders, ", "); got != c.orders {
				t.Errorf("orders: %q, want %q", got, c.orders)
			}
			if got := write(p.Known); got != c.next {
				t.Errorf("known afterwards: %q, want %q", got, c.next)
			}
			if got := strings.Join(p.Vanished, " "); got != c.gone {
				t.Errorf("vanished: %q, want %q", got, c.gone)
			}
			if got := p.LeftOut.String(); got != c.out {
				t.Errorf("left out: %q, want %q", got, c.out)
			}
		})
	}
}

func short(origin string) string {
	return strings.TrimSuffix(strings.TrimPrefix(origin, "https://h/"), ".git")
}

func write(known map[string]Known) string {
	var words []string
	for _, id := range slices.SortedFunc(maps.Keys(known), cmp.Compare[string]) {
		k := known[id]
		word := id + ":" + k.Name + "@" + short(k.Origin)
		if k.Made {
			word += "!"
		}
		if k.Missing > 0 {
			word += fmt.Sprint(k.Missing)
		}
		if k.Gone {
			word += "-"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}
