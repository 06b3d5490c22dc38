package status

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/units"
)

// Query is what a client wants to know.
type Query struct {
	format   string
	name     storage.Name  // of the only mirror that it is about; empty for all
	upstream bool          // of slaves too
	wait     time.Duration // the longest to wait for them
	hold     time.Duration // for which the client waits for a change
	progress bool          // how far pulls are is told
	hasSince bool          // only what has changed is told
	since    string        // after this cursor
}

// Hold is for how long the client waits for a change if it has the current answer; 0 if it does not.
func (q Query) Hold() time.Duration { return q.hold }

// IsSince reports whether only what has changed since another answer is asked for.
func (q Query) IsSince() bool { return q.hasSince }

// contentTypes are the formats, and what an answer calls them.
var contentTypes = map[string]string{
	"hierarchical": "text/plain; charset=utf-8",
	"json":         "application/json",
	"toml":         "application/toml",
}

// ParseQuery reads the query of a request. wantsJSON is whether a client that names no format prefers JSON,
// and timeout the longest that may be waited for slaves.
func ParseQuery(raw string, wantsJSON bool, timeout time.Duration) (Query, error) {
	q := Query{format: "hierarchical", upstream: true, wait: timeout, progress: true}
	if wantsJSON {
		q.format = "json"
	}
	fields, err := url.ParseQuery(raw)
	if err != nil {
		return q, fmt.Errorf("the query is malformed: %w", err)
	}
	for key, values := range fields {
		if len(values) > 1 {
			return q, fmt.Errorf("the parameter %q is given %d times", errtext.Word(key, 40), len(values))
		}
		value := values[0]
		switch key {
		case "format":
			if contentTypes[value] == "" {
				return q, fmt.Errorf("format=%q is unknown; hierarchical, json and toml are known", errtext.Word(value, 40))
			}
			q.format = value
		case "name":
			if q.name, err = storage.ParseName(value); err != nil {
				return q, err
			}
		case "upstream", "progress":
			if value != "0" && value != "1" {
				return q, fmt.Errorf("%s=%q is neither 0 nor 1", key, errtext.Word(value, 40))
			}
			if key == "upstream" {
				q.upstream = value == "1"
			} else {
				q.progress = value == "1"
			}
		case "since":
			q.hasSince, q.since = true, value
		case "wait":
			wait, err := units.ParseDuration(value)
			if err != nil || wait < 0 {
				return q, fmt.Errorf("wait=%q is not a duration; write a number of milliseconds (1500), or one with a unit (90s)", errtext.Word(value, 40))
			}
			q.wait, q.hold = min(wait, timeout), wait
		default:
			return q, fmt.Errorf("the parameter %q is unknown; format, name, upstream, progress, since and wait are known", errtext.Word(key, 40))
		}
	}
	if q.hasSince && fields.Get("upstream") == "1" {
		return q, errors.New("since tells of this server alone: ask each slave for what has changed there")
	}
	q.upstream = q.upstream && !q.hasSince
	return q, nil
}
