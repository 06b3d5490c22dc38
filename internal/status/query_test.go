package status

import (
	"testing"
	"time"

	"github.com/reconquest/sould/internal/storage"
)

func TestParseQuery(t *testing.T) {
	const timeout = time.Minute
	name, err := storage.ParseName("a/b")
	if err != nil {
		t.Fatal(err)
	}
	all := Query{format: "hierarchical", upstream: true, wait: timeout, progress: true}
	with := func(change func(q *Query)) Query { q := all; change(&q); return q }
	for _, c := range []struct {
		query string
		json  bool
		want  Query
	}{
		{"", false, all},
		{"", true, with(func(q *Query) { q.format = "json" })},
		{"format=toml", true, with(func(q *Query) { q.format = "toml" })},
		{"format=hierarchical&upstream=1", false, all},
		{"name=/a/b/&upstream=0", false, with(func(q *Query) { q.name, q.upstream = name, false })},
		{"progress=0", false, with(func(q *Query) { q.progress = false })},
		{"since=x-1-2", false, with(func(q *Query) { q.hasSince, q.since, q.upstream = true, "x-1-2", false })},
		{"since=", false, with(func(q *Query) { q.hasSince, q.upstream = true, false })},
		{"wait=500", false, with(func(q *Query) { q.wait, q.hold = 500*time.Millisecond, 500*time.Millisecond })},
		{"wait=2m", false, with(func(q *Query) { q.hold = 2 * time.Minute })},
		{"wait=0", false, with(func(q *Query) { q.wait = 0 })},
	} {
		if got, err := ParseQuery(c.query, c.json, timeout); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", c.query, got, err)
		}
	}
	for _, query := range []string{
		"format=xml", "format=", "format=json&format=json", "nmae=x", "name=", "name=../x", "name=x/y", "upstream=yes", "progress=2", "since=x&upstream=1", "wait=-1", "wait=soon", "%zz", "a;b",
	} {
		if q, err := ParseQuery(query, false, timeout); err == nil {
			t.Errorf("%s: %+v", query, q)
		}
	}
}
