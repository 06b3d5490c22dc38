package main

import (
	"testing"
	"time"
)

func TestParseStatus(t *testing.T) {
	const timeout = time.Minute
	all := statusQuery{format: "hierarchical", upstream: true, wait: timeout}
	with := func(change func(q *statusQuery)) statusQuery { q := all; change(&q); return q }
	for _, c := range []struct {
		query string
		json  bool
		want  statusQuery
	}{
		{"", false, all},
		{"", true, with(func(q *statusQuery) { q.format = "json" })},
		{"format=toml", true, with(func(q *statusQuery) { q.format = "toml" })},
		{"format=hierarchical&upstream=1", false, all},
		{"name=/a/b/&upstream=0", false, with(func(q *statusQuery) { q.name, q.upstream = named("a/b"), false })},
		{"wait=500", false, with(func(q *statusQuery) { q.wait = 500 * time.Millisecond })},
		{"wait=2m", false, all},
	} {
		if got, err := parseStatus(c.query, c.json, timeout); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", c.query, got, err)
		}
	}
	for _, query := range []string{
		"format=xml", "format=", "format=json&format=json", "nmae=x", "name=", "name=../x", "name=x/y", "upstream=yes", "wait=-1", "wait=soon", "%zz", "a;b",
	} {
		if q, err := parseStatus(query, false, timeout); err == nil {
			t.Errorf("%s: %+v", query, q)
		}
	}
}
