package tomlkeys

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/reconquest/sould/internal/units"
)

// Words is a key whose value is a string that set takes in, and get shows.
func Words[C any](name string, set func(c *C, s string) error, get func(c *C) string) Key[C] {
	return Key[C]{
		Name: name,
		set: func(c *C, value any) error {
			s, ok := value.(string)
			if !ok {
				return wrongType("a string", value)
			}
			return set(c, s)
		},
		show: func(c *C) string { return quote(get(c)) },
		read: asString,
	}
}

// String is a key whose value is a string that is checked; check may be nil.
func String[C any](name string, field func(*C) *string, check func(string) error) Key[C] {
	return Words(name, func(c *C, s string) error {
		*field(c) = s
		if check == nil {
			return nil
		}
		return check(s)
	}, func(c *C) string { return *field(c) })
}

// Bool is a key that is true or false.
func Bool[C any](name string, field func(*C) *bool) Key[C] {
	return Key[C]{
		Name: name,
		set: func(c *C, value any) error {
			b, ok := value.(bool)
			if value == "true" || value == "false" {
				return errors.New("must be true or false, without quotes")
			}
			if !ok {
				return wrongType("true or false", value)
			}
			*field(c) = b
			return nil
		},
		show: func(c *C) string { return strconv.FormatBool(*field(c)) },
		read: asValue,
	}
}

// Int is a key whose value is a whole number from least to most.
func Int[C any](name string, field func(*C) *int, least, most int64) Key[C] {
	return Key[C]{
		Name: name,
		set: func(c *C, value any) error {
			n, ok := value.(int64)
			if !ok {
				return wrongType("a whole number", value)
			}
			if n < least || n > most {
				return fmt.Errorf("must be between %d and %d, not %d", least, most, n)
			}
			*field(c) = int(n)
			return nil
		},
		show: func(c *C) string { return strconv.Itoa(*field(c)) },
		read: asValue,
	}
}

// longest is the longest duration that a key takes: a longer one is more likely to be a typing
// error than intended.
const longest = 10 * 365 * 24 * time.Hour

// Duration is a key whose value is a number of milliseconds or a string such as "90s", and not
// less than least.
func Duration[C any](name string, field func(*C) *time.Duration, least time.Duration) Key[C] {
	return Key[C]{
		Name: name,
		set: func(c *C, value any) (err error) {
			var d time.Duration
			switch v := value.(type) {
			case int64:
				d, err = units.Milliseconds(v)
			case string:
				d, err = units.ParseDuration(v)
			default:
				return wrongType(`a number of milliseconds or a string such as "90s" or "30d"`, value)
			}
			if err != nil {
				return err
			}
			switch {
			case d < 0:
				return errors.New("a duration cannot be negative")
			case d < least:
				return fmt.Errorf("%s is too short: write %s or longer", units.FormatDuration(d), units.FormatDuration(least))
			case d > longest:
				return fmt.Errorf("%s is too long: write %s or shorter", units.FormatDuration(d), units.FormatDuration(longest))
			}
			*field(c) = d
			return nil
		},
		show: func(c *C) string { return quote(units.FormatDuration(*field(c))) },
		read: asValue,
	}
}

// Size is a key whose value is a number of bytes or a string such as "4GiB".
func Size[C any](name string, field func(*C) *int64) Key[C] {
	return Key[C]{
		Name: name,
		set: func(c *C, value any) (err error) {
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
		show: func(c *C) string { return quote(units.FormatSize(*field(c))) },
		read: asValue,
	}
}

// Item is an element of a list. String shows it as it was written, and Same reports whether
// two of them mean the same.
type Item[T any] interface {
	fmt.Stringer
	Same(T) bool
}

// List is a key whose value is a list of strings. Each is parsed, none may be listed twice, and
// the whole is checked; check may be nil.
func List[C any, T Item[T]](name string, field func(*C) *[]T, parse func(string) (T, error), check func([]T) error) Key[C] {
	return Key[C]{
		Name: name,
		set: func(c *C, value any) error {
			items, ok := value.([]any)
			if !ok {
				return wrongType("a list of strings", value)
			}
			list := make([]T, 0, len(items))
			var wrong []error
			for _, item := range items {
				s, ok := item.(string)
				if !ok {
					return fmt.Errorf("must be a list of strings, and one of its elements is %s", typeOf(item))
				}
				v, err := parse(s)
				switch {
				case err != nil:
					wrong = append(wrong, err)
				case slices.ContainsFunc(list, v.Same):
					wrong = append(wrong, fmt.Errorf("%q is listed twice", v.String())) // s may have a secret
				default:
					list = append(list, v)
				}
			}
			*field(c) = list
			if len(wrong) > 0 { // the list is not complete, so that check could be wrong
				return errors.Join(wrong...)
			}
			if check == nil {
				return nil
			}
			return check(list)
		},
		show: func(c *C) string {
			var quoted []string
			for _, v := range *field(c) {
				quoted = append(quoted, quote(v.String()))
			}
			return "[" + strings.Join(quoted, ", ") + "]"
		},
		read: asList,
	}
}

// typeError is the error for a value of a wrong type.
type typeError struct{ want, got string }

func (e *typeError) Error() string { return "must be " + e.want + ", not " + e.got }

func wrongType(want string, got any) error { return &typeError{want, typeOf(got)} }

func typeOf(v any) string {
	switch v := v.(type) {
	case string:
		return "a string"
	case bool:
		return strconv.FormatBool(v)
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

// quote writes a basic string (https://toml.io/en/v1.0.0#string).
func quote(s string) string {
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
