package main

import (
	"time"

	"github.com/reconquest/sould/internal/discover"
	"github.com/reconquest/sould/internal/forge"
	"github.com/reconquest/sould/internal/tomlkeys"
)

// discoverTables is the key of the forges whose repositories are mirrored.
var discoverTables = tomlkeys.Tables("discover", func(c *Config) *[]discover.Table { return &c.Discover }, discover.NewTable, discoverKeys, discover.Table.Check)

// discoverKeys are the keys of each of them.
var discoverKeys = tomlkeys.Keys[discover.Table]{
	tomlkeys.Words("forge", func(t *discover.Table, s string) (err error) {
		t.Kind, err = forge.ParseKind(s)
		return err
	}, func(t *discover.Table) string { return string(t.Kind) }),
	tomlkeys.String("url", func(t *discover.Table) *string { return &t.URL }, anyString),
	tomlkeys.String("site", func(t *discover.Table) *string { return &t.Site }, anyString),
	tomlkeys.String("token_file", func(t *discover.Table) *string { return &t.TokenFile }, anyString),
	tomlkeys.List("groups", func(t *discover.Table) *[]discover.Owner { return &t.Groups }, discover.ParseOwner, anyList),
	tomlkeys.List("users", func(t *discover.Table) *[]discover.Owner { return &t.Users }, discover.ParseOwner, anyList),
	tomlkeys.Bool("all", func(t *discover.Table) *bool { return &t.All }),
	tomlkeys.List("include", func(t *discover.Table) *[]discover.Glob { return &t.Include }, discover.ParseGlob, anyList),
	tomlkeys.List("exclude", func(t *discover.Table) *[]discover.Glob { return &t.Exclude }, discover.ParseGlob, anyList),
	tomlkeys.Bool("archived", func(t *discover.Table) *bool { return &t.Archived }),
	tomlkeys.Bool("forks", func(t *discover.Table) *bool { return &t.Forks }),
	tomlkeys.Duration("interval", func(t *discover.Table) *time.Duration { return &t.Interval }, time.Second),
	tomlkeys.String("prefix", func(t *discover.Table) *string { return &t.Prefix }, anyString),
	tomlkeys.Words("clone", func(t *discover.Table, s string) (err error) {
		t.Clone, err = discover.ParseClone(s)
		return err
	}, func(t *discover.Table) string { return string(t.Clone) }),
}

// checkDiscoverTables reports tables that would share what they know.
func (c *Config) checkDiscoverTables(report func(key string, err error)) {
	if err := discover.CheckTables(c.Discover); err != nil {
		report("discover", err)
	}
}
