package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/ondemand"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/tomlkeys"
)

// onDemandTables is the key of the tables by which mirrors make themselves.
var onDemandTables = tomlkeys.Tables("ondemand", func(c *Config) *[]ondemand.Rule { return &c.OnDemand }, ondemand.Defaults, onDemandKeys, checkRule)

// onDemandKeys are the keys of one [[ondemand]].
var onDemandKeys = tomlkeys.Keys[ondemand.Rule]{
	tomlkeys.Words("prefix", func(r *ondemand.Rule, s string) (err error) {
		r.Prefix, err = ondemand.ParsePrefix(s)
		return err
	}, func(r *ondemand.Rule) string { return r.Prefix }),
	tomlkeys.String("origin", func(r *ondemand.Rule) *string { return &r.Template }, ondemand.CheckTemplate),
	tomlkeys.Duration("max_age", func(r *ondemand.Rule) *time.Duration { return &r.MaxAge }, 0),
	tomlkeys.Duration("first_patience", func(r *ondemand.Rule) *time.Duration { return &r.FirstPatience }, 0),
	tomlkeys.Size("quota", func(r *ondemand.Rule) *int64 { return &r.Quota }),
	tomlkeys.Size("max_size", func(r *ondemand.Rule) *int64 { return &r.MaxSize }),
	tomlkeys.Duration("idle", func(r *ondemand.Rule) *time.Duration { return &r.Idle }, 0),
	tomlkeys.Duration("poll", func(r *ondemand.Rule) *time.Duration { return &r.Poll }, 0),
	tomlkeys.Bool("ignore_case", func(r *ondemand.Rule) *bool { return &r.IgnoreCase }),
	tomlkeys.Bool("deny_private", func(r *ondemand.Rule) *bool { return &r.DenyPrivate }),
}

// checkRule checks a table as a whole.
func checkRule(r ondemand.Rule) error {
	var missing []error
	if r.Prefix == "" {
		missing = append(missing, errors.New(`prefix is missing: write what the names begin with, such as "github.com/"`))
	}
	if r.Template == "" {
		missing = append(missing, errors.New(`origin is missing: write the URL, such as "https://github.com/{path}"`))
	}
	if r.MaxSize > r.Quota && r.Quota > 0 {
		missing = append(missing, errors.New("max_size is more than quota"))
	}
	if r.DenyPrivate && !strings.HasPrefix(strings.ToLower(r.Template), "http") {
		missing = append(missing, errors.New("deny_private needs an origin over https or http: the host of another one cannot be checked when git connects to it"))
	}
	return errors.Join(missing...)
}

// checkTables gives tables what they take from other keys, and reports what is wrong with tables beside
// each other, and beside other keys.
func (c *Config) checkTables(report func(key string, err error)) {
	policy := origin.Policy{Local: true, Patterns: c.Origins}
	for i, r := range c.OnDemand {
		if r.FirstPatience == ondemand.Unset {
			c.OnDemand[i].FirstPatience = c.FirstPatience
		}
		if first := slices.IndexFunc(c.OnDemand, func(other ondemand.Rule) bool { return other.Prefix == r.Prefix }); first < i && r.Prefix != "" {
			report("ondemand", tomlkeys.InTable(i, "prefix", fmt.Errorf("%q is also the prefix of ondemand[%d]", r.Prefix, first+1)))
		}
		if err := checkPoll(r.Poll); err != nil {
			report("ondemand", tomlkeys.InTable(i, "poll", err))
		}
		if url, err := r.Origin("a"); err == nil && !policy.Reaches(url) {
			report("ondemand", tomlkeys.InTable(i, "origin", errors.New("origins does not name what this table mirrors: add it there")))
		}
	}
}
