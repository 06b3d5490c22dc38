package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/units"
)

// configKey is one key of the file: set takes its value into a Config, and show writes it as
// TOML again.
type configKey struct {
	name string
	set  func(c *Config, value any) error
	show func(c *Config) string
}

var configKeys = []configKey{
	stringKey("listen", func(c *Config) *string { return &c.Listen }, checkListen),
	stringKey("storage", func(c *Config) *string { return &c.Storage }, checkNotEmpty),
	boolKey("master", func(c *Config) *bool { return &c.Master }),
	listKey("slaves", func(c *Config) *[]protocol.Address { return &c.Slaves }, protocol.ParseAddress, anyList),
	listKey("peers", func(c *Config) *[]protocol.Address { return &c.Peers }, protocol.ParseAddress, anyList),
	durationKey("repair", func(c *Config) *time.Duration { return &c.Repair }, 0),
	durationKey("timeout", func(c *Config) *time.Duration { return &c.Timeout }, time.Millisecond),
	durationKey("fetch_timeout", func(c *Config) *time.Duration { return &c.FetchTimeout }, time.Millisecond),
	durationKey("list_timeout", func(c *Config) *time.Duration { return &c.ListTimeout }, time.Millisecond),
	durationKey("patience", func(c *Config) *time.Duration { return &c.Patience }, 0),
	durationKey("retry", func(c *Config) *time.Duration { return &c.Retry }, 0),
	intKey("max_fetches", func(c *Config) *int { return &c.MaxFetches }, 1, 1000),
	listKey("refs", func(c *Config) *[]refs.Pattern { return &c.Refs }, refs.ParsePattern, checkRefs),
	sizeKey("cache_size", func(c *Config) *int64 { return &c.CacheSize }),
	intKey("max_archives", func(c *Config) *int { return &c.MaxArchives }, 1, 1000),
	sizeKey("archive_limit", func(c *Config) *int64 { return &c.ArchiveLimit }),
	durationKey("archive_timeout", func(c *Config) *time.Duration { return &c.ArchiveTimeout }, time.Millisecond),
	boolKey("export_subst", func(c *Config) *bool { return &c.ExportSubst }),
	intKey("max_clones", func(c *Config) *int { return &c.MaxClones }, 1, 1000),
	stringKey("ssh_command", func(c *Config) *string { return &c.SSHCommand }, checkNotEmpty),
	stringKey("ca_file", func(c *Config) *string { return &c.CAFile }, checkReadable),
	secretKey("token", func(c *Config) *access.Secret { return &c.Token }, func(c *Config) *string { return &c.TokenFile }),
	stringKey("token_file", func(c *Config) *string { return &c.TokenFile }, anyString),
	secretKey("read_token", func(c *Config) *access.Secret { return &c.ReadToken }, func(c *Config) *string { return &c.ReadTokenFile }),
	stringKey("read_token_file", func(c *Config) *string { return &c.ReadTokenFile }, anyString),
	listKey("origins", func(c *Config) *[]origin.Pattern { return &c.Origins }, origin.ParsePattern, anyList),
	listKey("allow_hosts", func(c *Config) *[]access.Host { return &c.AllowHosts }, access.ParseHost, anyList),
	stringKey("tls_cert", func(c *Config) *string { return &c.TLSCert }, anyString),
	stringKey("tls_key", func(c *Config) *string { return &c.TLSKey }, anyString),
	stringKey("tls_ca", func(c *Config) *string { return &c.TLSCA }, anyString),
	durationKey("keep", func(c *Config) *time.Duration { return &c.Keep }, 0),
	boolKey("maintenance", func(c *Config) *bool { return &c.Maintenance }),
	durationKey("check", func(c *Config) *time.Duration { return &c.Check }, 0),
	fsckKey("fsck", func(c *Config) *git.Fsck { return &c.Fsck }),
}

func fsckKey(name string, field func(*Config) *git.Fsck) configKey {
	return configKey{
		name: name,
		set: func(c *Config, value any) (err error) {
			s, ok := value.(string)
			if !ok {
				return wrongType("a string", value)
			}
			*field(c), err = git.ParseFsck(s)
			return err
		},
		show: func(c *Config) string { return quoteTOML(string(*field(c))) },
	}
}

func stringKey(name string, field func(*Config) *string, check func(string) error) configKey {
	return configKey{
		name: name,
		set: func(c *Config, value any) error {
			s, ok := value.(string)
			if !ok {
				return wrongType("a string", value)
			}
			*field(c) = s
			return check(s)
		},
		show: func(c *Config) string { return quoteTOML(*field(c)) },
	}
}

func boolKey(name string, field func(*Config) *bool) configKey {
	return configKey{
		name: name,
		set: func(c *Config, value any) error {
			b, ok := value.(bool)
			if !ok {
				return wrongType("true or false", value)
			}
			*field(c) = b
			return nil
		},
		show: func(c *Config) string { return strconv.FormatBool(*field(c)) },
	}
}

func intKey(name string, field func(*Config) *int, least, most int64) configKey {
	return configKey{
		name: name,
		set: func(c *Config, value any) error {
			n, ok := value.(int64)
			if !ok {
				return wrongType("a whole number", value)
			}
			if n < least || n > most {
				return fmt.Errorf("%d is not between %d and %d", n, least, most)
			}
			*field(c) = int(n)
			return nil
		},
		show: func(c *Config) string { return strconv.Itoa(*field(c)) },
	}
}

// longest is the longest duration that a key takes: a longer one is more likely to be a typing
// error than intended.
const longest = 10 * 365 * 24 * time.Hour

func durationKey(name string, field func(*Config) *time.Duration, least time.Duration) configKey {
	return configKey{
		name: name,
		set: func(c *Config, value any) (err error) {
			var d time.Duration
			switch v := value.(type) {
			case int64:
				d, err = units.Milliseconds(v)
			case string:
				d, err = units.ParseDuration(v)
			default:
				return wrongType(`a number of milliseconds or a string such as "90s"`, value)
			}
			if err != nil {
				return err
			}
			if d < least || d > longest {
				return fmt.Errorf("%s is not between %s and %s", d, least, longest)
			}
			*field(c) = d
			return nil
		},
		show: func(c *Config) string { return quoteTOML(field(c).String()) },
	}
}

func sizeKey(name string, field func(*Config) *int64) configKey {
	return configKey{
		name: name,
		set: func(c *Config, value any) (err error) {
			switch v := value.(type) {
			case int64:
				*field(c) = v
			case string:
				*field(c), err = units.ParseSize(v)
			default:
				return wrongType(`a number of bytes or a string such as "4GiB"`, value)
			}
			if err == nil && *field(c) < 0 {
				err = errors.New("a size cannot be negative")
			}
			return err
		},
		show: func(c *Config) string { return quoteTOML(units.FormatSize(*field(c))) },
	}
}

// item is an element of a list. String shows it as it was written, and Same reports whether
// two of them mean the same.
type item[T any] interface {
	fmt.Stringer
	Same(T) bool
}

func listKey[T item[T]](name string, field func(*Config) *[]T, parse func(string) (T, error), check func([]T) error) configKey {
	return configKey{
		name: name,
		set: func(c *Config, value any) error {
			items, ok := value.([]any)
			if !ok {
				return wrongType("a list of strings", value)
			}
			list := make([]T, 0, len(items))
			var wrong []error
			for _, item := range items {
				s, ok := item.(string)
				if !ok {
					return wrongType("a list of strings", item)
				}
				v, err := parse(s)
				switch {
				case err != nil:
					wrong = append(wrong, err)
				case slices.ContainsFunc(list, v.Same):
					wrong = append(wrong, fmt.Errorf("%q stands there twice", s))
				default:
					list = append(list, v)
				}
			}
			*field(c) = list
			if len(wrong) > 0 { // the list is not complete, so that check could be wrong
				return errors.Join(wrong...)
			}
			return check(list)
		},
		show: func(c *Config) string {
			var quoted []string
			for _, v := range *field(c) {
				quoted = append(quoted, quoteTOML(v.String()))
			}
			return "[" + strings.Join(quoted, ", ") + "]"
		},
	}
}

func wrongType(want string, got any) error {
	return fmt.Errorf("must be %s, not %s", want, typeTOML(got))
}

func typeTOML(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case bool:
		return "a truth value"
	case int64:
		return "a whole number"
	case float64:
		return "a number with a fraction"
	case []any:
		return "a list"
	case map[string]any, []map[string]any:
		return "a table"
	default:
		return "a date"
	}
}

// quoteTOML writes a basic string (https://toml.io/en/v1.0.0#string).
func quoteTOML(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case unicode.IsControl(r):
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func checkNotEmpty(s string) error {
	if s == "" {
		return errors.New("must not be empty")
	}
	return nil
}

func anyString(string) error { return nil }

func anyList[T any]([]T) error { return nil }

func checkRefs(patterns []refs.Pattern) error {
	if len(patterns) == 0 {
		return errors.New("must not be empty: mirrors would be")
	}
	return nil
}

func checkReadable(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

func checkListen(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q is no address; write host:port or :port", s)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("%q is no port", port)
	}
	return nil
}
