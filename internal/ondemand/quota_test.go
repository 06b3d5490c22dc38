package ondemand

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/storage"
)

// TestChoose: what goes, in which order, for which need.
func TestChoose(t *testing.T) {
	const hour = time.Hour
	made := func(name string, bytes int64, unused time.Duration) item {
		parsed, err := storage.ParseName(name)
		if err != nil {
			t.Fatal(err)
		}
		return item{name: parsed, bytes: bytes, unused: unused}
	}
	trashed := func(i item) item { i.trashed = true; return i }
	over := func(i item) item { i.over = true; return i }
	broken := func(i item) item { i.broken = true; return i }
	kept := func(i item) item { i.kept = true; return i }
	a, b, c := made("a", 10, 3*hour), made("b", 20, 2*hour), made("c", 30, hour)
	old, older := trashed(made("old", 5, hour)), trashed(made("older", 5, 2*hour))
	for what, test := range map[string]struct {
		items  []item
		need   need
		want   string
		enough bool
	}{
		"nothing":                      {nil, need{quota: 10}, "", true},
		"no quota":                     {[]item{a, b, c}, need{more: 1000}, "", true},
		"all fit":                      {[]item{a, b, c}, need{quota: 60}, "", true},
		"all fit with one more":        {[]item{a, b, c}, need{quota: 70, more: 10}, "", true},
		"the least recently used":      {[]item{c, b, a}, need{quota: 70, more: 11}, "a room", true},
		"two of them":                  {[]item{c, b, a}, need{quota: 70, more: 21}, "a room, b room", true},
		"a quota that has become less": {[]item{c, b, a}, need{quota: 30}, "a room, b room", true},
		"the trash first":              {[]item{a, old, b, older}, need{quota: 36, more: 1}, "older room", true},
		"all of the trash":             {[]item{a, old, b, older}, need{quota: 30}, "older room, old room", true},
		"the trash, and more":          {[]item{a, old, b, older}, need{quota: 29}, "older room, old room, a room", true},
		"too large a one":              {[]item{a, b, over(c)}, need{quota: 59}, "c max_size", true},
		"too large, but there is room": {[]item{a, b, over(c)}, need{quota: 60}, "", true},
		"too large, after the trash":   {[]item{a, b, over(c), old}, need{quota: 59}, "old room, c max_size", true},
		"one that cannot be read":      {[]item{a, over(b), broken(c), old}, need{quota: 59}, "old room, c broken", true},
		"that, and too large ones":     {[]item{a, over(b), broken(over(c))}, need{quota: 29}, "c broken, b max_size", true},
		"in use":                       {[]item{kept(a), b, c}, need{quota: 59}, "b room", true},
		"all in use":                   {[]item{kept(a), kept(b), kept(over(c))}, need{quota: 59}, "", false},
		"not enough":                   {[]item{a, kept(b), kept(c)}, need{quota: 49}, "a room", false},
		"more than all":                {[]item{a}, need{quota: 10, more: 11}, "a room", false},
		"as much as all":               {[]item{a}, need{quota: 10, more: 10}, "a room", true},
		"idle":                         {[]item{a, b, c}, need{idle: 2 * hour}, "a idle, b idle", true},
		"idle and in use":              {[]item{kept(a), b, c}, need{idle: 2 * hour}, "b idle", true},
		"idle in the trash":            {[]item{older, old}, need{idle: hour}, "", true},
		"idle, and one for room":       {[]item{a, b, c}, need{quota: 50, idle: 2 * hour}, "a room, b idle", true},
		"by name":                      {[]item{made("w", 1, hour), made("v", 1, hour)}, need{quota: 1}, "v room", true},
		"never read":                   {[]item{made("v", 1, 0), a}, need{quota: 10}, "a room", true},
	} {
		goes, enough := choose(test.items, test.need)
		var words []string
		for _, r := range goes {
			words = append(words, fmt.Sprint(test.items[r.index].name, " ", r.why))
		}
		if got := strings.Join(words, ", "); got != test.want || enough != test.enough {
			t.Errorf("%s: %q %v, want %q %v", what, got, enough, test.want, test.enough)
		}
	}
}

// TestChooseAtRandom: what stays fits, nothing that is kept goes, and nothing goes without need.
func TestChooseAtRandom(t *testing.T) {
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var items []item
		var all, last int64
		for range rnd.IntN(20) {
			one := item{
				bytes: rnd.Int64N(100), unused: time.Duration(rnd.IntN(10)),
				trashed: rnd.IntN(3) == 0, over: rnd.IntN(5) == 0, kept: rnd.IntN(4) == 0,
			}
			items, all = append(items, one), all+one.bytes
		}
		n := need{quota: 1 + rnd.Int64N(800), more: rnd.Int64N(100)}
		goes, enough := choose(items, n)
		left, free := all+n.more, 0
		for _, r := range goes {
			last = items[r.index].bytes
			left -= last
			if items[r.index].kept {
				t.Fatalf("seed %d: what is in use goes", seed)
			}
		}
		free = len(slices.DeleteFunc(slices.Clone(items), func(i item) bool { return i.kept }))
		if enough != (left <= n.quota) || !enough && len(goes) != free || len(goes) > 0 && left+last <= n.quota {
			t.Fatalf("seed %d: %d of %d stay for %+v: %v %v", seed, left, all, n, goes, enough)
		}
	}
}
