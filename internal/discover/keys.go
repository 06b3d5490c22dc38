package discover

import (
	"time"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/forge"
	"github.com/reconquest/sould/internal/tomlkeys"
)

// Keys are the keys of one [[discover]].
var Keys = tomlkeys.Keys[Table]{
	tomlkeys.Words("forge", func(t *Table, s string) (err error) {
		t.Kind, err = forge.ParseKind(s)
		return err
	}, func(t *Table) string { return string(t.Kind) }),
	tomlkeys.String("url", func(t *Table) *string { return &t.URL }, nil),
	tomlkeys.String("site", func(t *Table) *string { return &t.Site }, nil),
	tomlkeys.String("token_file", func(t *Table) *string { return &t.TokenFile }, checkTokenFile),
	tomlkeys.List("groups", func(t *Table) *[]Owner { return &t.Groups }, parseOwner, nil),
	tomlkeys.List("users", func(t *Table) *[]Owner { return &t.Users }, parseOwner, nil),
	tomlkeys.Bool("all", func(t *Table) *bool { return &t.All }),
	tomlkeys.List("include", func(t *Table) *[]Glob { return &t.Include }, parseGlob, nil),
	tomlkeys.List("exclude", func(t *Table) *[]Glob { return &t.Exclude }, parseGlob, nil),
	tomlkeys.Bool("archived", func(t *Table) *bool { return &t.Archived }),
	tomlkeys.Bool("forks", func(t *Table) *bool { return &t.Forks }),
	tomlkeys.Duration("interval", func(t *Table) *time.Duration { return &t.Interval }, time.Second),
	tomlkeys.String("prefix", func(t *Table) *string { return &t.Prefix }, nil),
	tomlkeys.Words("clone", func(t *Table, s string) (err error) {
		t.Clone, err = parseClone(s)
		return err
	}, func(t *Table) string { return string(t.Clone) }),
}

// checkTokenFile checks that a token can be read. Each round reads it again.
func checkTokenFile(path string) error {
	if path == "" {
		return nil
	}
	_, err := access.ReadToken(path)
	return err
}
