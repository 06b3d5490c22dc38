package ondemand

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/poll"
	"github.com/reconquest/sould/internal/tomlkeys"
)

// Keys are the keys of one [[ondemand]].
var Keys = tomlkeys.Keys[Rule]{
	tomlkeys.Words("prefix", func(r *Rule, s string) (err error) {
		r.Prefix, err = parsePrefix(s)
		return err
	}, func(r *Rule) string { return r.Prefix }),
	tomlkeys.String("origin", func(r *Rule) *string { return &r.Template }, checkTemplate),
	tomlkeys.Duration("max_age", func(r *Rule) *time.Duration { return &r.MaxAge }, 0),
	tomlkeys.Duration("first_patience", func(r *Rule) *time.Duration { return &r.FirstPatience }, 0),
	tomlkeys.Size("quota", func(r *Rule) *int64 { return &r.Quota }),
	tomlkeys.Size("max_size", func(r *Rule) *int64 { return &r.MaxSize }),
	tomlkeys.Duration("idle", func(r *Rule) *time.Duration { return &r.Idle }, 0),
	tomlkeys.Duration("poll", func(r *Rule) *time.Duration { return &r.Poll }, 0),
	tomlkeys.Bool("ignore_case", func(r *Rule) *bool { return &r.IgnoreCase }),
	tomlkeys.Bool("deny_private", func(r *Rule) *bool { return &r.DenyPrivate }),
}

// Check checks a table as a whole.
func (r Rule) Check() error {
	var wrong []error
	if r.Prefix == "" {
		wrong = append(wrong, errors.New(`prefix is missing: write what the names begin with, such as "github.com/"`))
	}
	if r.Template == "" {
		wrong = append(wrong, errors.New(`origin is missing: write the URL, such as "https://github.com/{path}"`))
	}
	if r.MaxSize > r.Quota && r.Quota > 0 {
		wrong = append(wrong, errors.New("max_size is more than quota"))
	}
	if r.DenyPrivate && !strings.HasPrefix(strings.ToLower(r.Template), "http") {
		wrong = append(wrong, errors.New("deny_private needs an origin over https or http: the host of another one cannot be checked when git connects to it"))
	}
	return errors.Join(wrong...)
}

// Complete gives all tables of a configuration what they take from its other keys: the patience of those
// that do not say what it is. The error joins what is wrong with them beside each other, and beside the
// origins that the configuration allows ([tomlkeys.InTable]).
func Complete(rules []Rule, patience time.Duration, origins []origin.Pattern) error {
	policy := origin.Policy{Local: true, Patterns: origins}
	var wrong []error
	for i, r := range rules {
		if r.FirstPatience == unset {
			rules[i].FirstPatience = patience
		}
		if first := slices.IndexFunc(rules, func(other Rule) bool { return other.Prefix == r.Prefix }); first < i && r.Prefix != "" {
			wrong = append(wrong, tomlkeys.InTable(i, "prefix", fmt.Errorf("%q is also the prefix of ondemand[%d]", r.Prefix, first+1)))
		}
		if err := poll.CheckInterval(r.Poll); err != nil {
			wrong = append(wrong, tomlkeys.InTable(i, "poll", err))
		}
		if url, err := r.Origin("a"); err == nil && !policy.Reaches(url) {
			wrong = append(wrong, tomlkeys.InTable(i, "origin", errors.New("origins does not name what this table mirrors: add it there")))
		}
	}
	return errors.Join(wrong...)
}
