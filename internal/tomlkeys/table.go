package tomlkeys

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// insideError is a mistake inside of a table.
type insideError struct {
	index int    // of the table in an array; noIndex for none
	key   string // empty if the mistake is the table's
	err   error
}

func (e *insideError) Error() string { return e.err.Error() }
func (e *insideError) Unwrap() error { return e.err }

// InTable is a mistake in the table of an array with this index, from 0, for [Text.Report]. key is that
// of the table which is wrong; empty if it is the table as a whole.
func InTable(index int, key string, err error) error { return &insideError{index, key, err} }

// Tables is a key whose value is an array of tables ([[name]]), each of which has keys of its own.
// fresh returns a table with the defaults, and check looks at one as a whole; it may join several
// errors.
func Tables[C, T any](name string, field func(*C) *[]T, fresh func() T, keys Keys[T], check func(T) error) Key[C] {
	var inside []string
	for _, k := range keys {
		inside = append(inside, k.Name)
	}
	return Key[C]{
		Name:   name,
		inside: inside,
		set: func(c *C, value any) error {
			array, ok := value.([]map[string]any)
			if list, isList := value.([]any); isList && len(list) == 0 { // name = []
				ok = true
			}
			if !ok {
				return fmt.Errorf("must be an array of tables: write [[%s]] above the keys of each", name)
			}
			all := make([]T, 0, len(array))
			var wrong []error
			for i, table := range array {
				one := fresh()
				mistakes := keys.setTable(&one, i, table)
				if len(mistakes) == 0 {
					mistakes = inTable(i, check(one))
				}
				wrong = append(wrong, mistakes...)
				all = append(all, one)
			}
			*field(c) = all
			return errors.Join(wrong...)
		},
		section: func(c *C, comment string) string {
			var b strings.Builder
			for _, one := range *field(c) {
				fmt.Fprintf(&b, "\n[[%s]]%s\n%s", name, comment, keys.Show(&one))
				comment = ""
			}
			return b.String()
		},
	}
}

// setTable sets what the table of an array says, and returns what is wrong with it.
func (keys Keys[T]) setTable(one *T, index int, table map[string]any) (wrong []error) {
	for _, name := range slices.Sorted(maps.Keys(table)) {
		key := keys.find(name)
		err := errors.New("unknown key" + keys.didYouMean("; ", name, ""))
		if key != nil {
			err = key.set(one, table[name])
		}
		if err != nil {
			for _, err := range errorsOf(err) {
				wrong = append(wrong, &insideError{index, name, err})
			}
		}
	}
	return wrong
}

// inTable are the mistakes of a table as a whole.
func inTable(index int, err error) (wrong []error) {
	if err == nil {
		return nil
	}
	for _, err := range errorsOf(err) {
		wrong = append(wrong, &insideError{index, "", err})
	}
	return wrong
}

// Map is a key whose value is a table of strings. check looks at each of them; it may be nil.
func Map[C any](name string, field func(*C) *map[string]string, check func(key, value string) error) Key[C] {
	return Key[C]{
		Name: name,
		set: func(c *C, value any) error {
			table, ok := value.(map[string]any)
			if !ok {
				return wrongType("a table of strings", value)
			}
			all := make(map[string]string, len(table))
			var wrong []error
			for _, key := range slices.Sorted(maps.Keys(table)) {
				s, ok := table[key].(string)
				err := wrongType("a string", table[key])
				if ok {
					all[key], err = s, nil
					if check != nil {
						err = check(key, s)
					}
				}
				if err != nil {
					wrong = append(wrong, &insideError{noIndex, key, err})
				}
			}
			*field(c) = all
			return errors.Join(wrong...)
		},
		section: func(c *C, comment string) string {
			all := *field(c)
			if len(all) == 0 {
				return ""
			}
			var b strings.Builder
			fmt.Fprintf(&b, "\n[%s]%s\n", name, comment)
			for _, key := range slices.Sorted(maps.Keys(all)) {
				fmt.Fprintf(&b, "%s = %s\n", quote(key), quote(all[key]))
			}
			return b.String()
		},
	}
}
