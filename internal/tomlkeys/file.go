// Package tomlkeys reads a TOML file into a struct by a table of its keys, and writes it back.
//
// All mistakes of a file are reported at once, each with the file, the line and the key: unknown
// keys, wrong types, values that a key does not take. A key is made of a name, the field that it
// sets, and a check: see [String], [List] and the others. Variables of the environment can override
// a file: see [Text.Override].
package tomlkeys

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Key is one key of a file.
type Key[C any] struct {
	Name string
	set  func(c *C, value any) error
	show func(c *C) string              // as TOML; nil if section is set
	read func(word string) (any, error) // the value of a variable, as set takes it; nil if only a file can say it

	// section shows a key whose value is a table or an array of them, with a comment behind its
	// first header. TOML wants such keys behind all others.
	section func(c *C, comment string) string
	inside  []string // the names of the keys in each table of an array
}

// WithoutVariable is the key without a variable of the environment: only the file can set it.
func (k Key[C]) WithoutVariable(why string) Key[C] {
	k.read = func(string) (any, error) { return nil, errors.New(why) }
	return k
}

// IsTable reports whether the key's value is a table or an array of them.
func (k Key[C]) IsTable() bool { return k.section != nil }

// Inside returns the names of the keys that each table of an array may have.
func (k Key[C]) Inside() []string { return k.inside }

// Keys are all keys of a file.
type Keys[C any] []Key[C]

// Error is one mistake in a file or a variable.
type Error struct {
	File string // or the name of the variable
	Line int    // 0 if unknown
	Key  string // empty if it is about none
	Err  error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if e.Key != "" {
		b.WriteString(": " + e.Key)
	}
	return b.String() + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Text is the content of a file, with the variables that override it, and what is wrong with them.
type Text struct {
	file, text string
	values     map[string]any
	variables  map[string]variable // by key
	wrong      []*Error
	parts      []part // of the text, once somebody needs to know a line
}

// Read reads the text of a file, by its syntax alone. isSecret reports whether a text begins with a
// key whose value no message may repeat; the error of such a line names the key secret. The error
// is an *Error.
func Read(file, text, secret string, isSecret func(words string) bool) (*Text, error) {
	t := &Text{file: file, text: text}
	_, err := toml.Decode(text, &t.values)
	if err == nil {
		return t, nil
	}
	syntax := toml.ParseError{}
	if !errors.As(err, &syntax) {
		return nil, &Error{File: file, Err: err}
	}
	lines, line := strings.Split(text, "\n"), syntax.Position.Line
	if 1 <= line && line <= len(lines) && isSecret(lines[line-1]) || slices.ContainsFunc(strings.Split(syntax.LastKey, "."), isSecret) {
		syntax.LastKey, syntax.Message = secret, "must be a string in quotes"
	}
	if strings.HasPrefix(syntax.Message, "expected value but found") {
		syntax.Message += `; a string needs quotes, as in "text"`
	}
	return nil, &Error{file, line, syntax.LastKey, errors.New(syntax.Message)}
}

// Set sets what a text says, and its variables. What is wrong is reported to it.
func (keys Keys[C]) Set(c *C, t *Text) {
	for name, value := range t.values {
		table, ok := value.(map[string]any)
		if list, isList := value.([]map[string]any); isList { // [[name]]
			table, ok = list[0], true
		}
		switch key := keys.find(name); {
		case key == nil && ok:
			t.reportLine(name, keys.noTables(name, table))
		case key == nil:
			t.reportLine(name, errors.New("unknown key"+keys.didYouMean("; ", name, "")))
		default:
			if err := key.set(c, value); err != nil {
				t.reportLine(name, err)
			}
		}
	}
	keys.setVariables(c, t)
}

// find returns the key of a name, or nil.
func (keys Keys[C]) find(name string) *Key[C] {
	i := slices.IndexFunc(keys, func(k Key[C]) bool { return k.Name == name })
	if i < 0 {
		return nil
	}
	return &keys[i]
}

// Has reports whether the text or a variable has a key.
func (t *Text) Has(key string) bool {
	_, isVariable := t.variables[key]
	return isVariable || t.values[key] != nil
}

// Report adds a mistake of a key, or all of several that are joined, to the variable or the line that
// has set it. A nil is none.
func (t *Text) Report(key string, err error) {
	if err == nil {
		return
	}
	v, isVariable := t.variables[key]
	if !isVariable {
		t.reportLine(key, err)
		return
	}
	for _, err := range errorsOf(err) {
		t.wrong = append(t.wrong, &Error{File: v.name, Err: err})
	}
}

// reportLine is Report for what the file says, also if a variable overrides it.
func (t *Text) reportLine(key string, err error) {
	for _, err := range errorsOf(err) {
		at := place{table: key, index: noIndex}
		var inside *insideError
		if errors.As(err, &inside) {
			at.index, at.key, err = inside.index, inside.key, inside.err
		}
		t.wrong = append(t.wrong, &Error{t.file, t.line(at), at.String(), err})
	}
}

// errorsOf are the errors of which an error is joined.
func errorsOf(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// Err joins all mistakes, in the order of their lines, and then those of variables; nil if there is none.
func (t *Text) Err() error {
	slices.SortStableFunc(t.wrong, func(a, b *Error) int {
		if inFile := a.File == t.file; inFile != (b.File == t.file) {
			if inFile {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.File, b.File))
	})
	var all []error
	for _, e := range t.wrong {
		all = append(all, e)
	}
	return errors.Join(all...)
}

// maxListed is how many keys of a table an error lists.
const maxListed = 10

// noTables is the error of a table that is no key, whose keys may be those of the file.
func (keys Keys[C]) noTables(name string, table map[string]any) error {
	sections := slices.DeleteFunc(slices.Clone(keys), func(k Key[C]) bool { return k.section == nil })
	if meant := sections.didYouMean("; ", name, ""); meant != "" {
		return errors.New("there is no such table" + meant)
	}
	inside := slices.Sorted(maps.Keys(table))
	var listed []string
	for _, key := range inside[:min(len(inside), maxListed)] {
		if slices.ContainsFunc(keys, func(k Key[C]) bool { return k.Name == key }) {
			listed = append(listed, key)
		} else {
			listed = append(listed, key+keys.didYouMean(" (", key, ")"))
		}
	}
	if n := len(inside) - len(listed); n > 0 {
		listed = append(listed, fmt.Sprintf("and %d more", n))
	}
	if len(listed) == 0 {
		return errors.New("there is no such table: remove it")
	}
	return fmt.Errorf("there is no such table: remove [%s], and write its keys by themselves at the top: %s", name, strings.Join(listed, ", "))
}

// didYouMean suggests, between two texts, the known key that a misspelt name is most like. Without
// such a key it returns "".
func (keys Keys[C]) didYouMean(before, name, after string) string {
	fold := func(s string) string { return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s)) }
	short := fold(name)
	most := max(1, len(short)/4) // mistakes
	best := ""
	for _, k := range keys {
		if n := mistakes(short, fold(k.Name)); n <= most {
			best, most = k.Name, n-1
		}
	}
	if best == "" {
		return ""
	}
	return before + "did you mean " + best + "?" + after
}

// mistakes returns how many letters must be added, left out, changed or swapped with the next one to
// make b of a (the restricted distance of Damerau and Levenshtein). Of long texts it looks at the
// beginning.
func mistakes(a, b string) int {
	const longest = 64
	a, b = a[:min(len(a), longest)], b[:min(len(b), longest)]
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			changed := 1
			if a[i-1] == b[j-1] {
				changed = 0
			}
			n := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+changed)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				n = min(n, rows[i-2][j-2]+1)
			}
			rows[i][j] = n
		}
	}
	return rows[len(a)][len(b)]
}

// Show returns the text of a file that says what a struct holds.
func (keys Keys[C]) Show(c *C) string {
	return keys.ShowWith(c, func(string) string { return "" })
}

// ShowWith is Show with a comment behind each key; an empty one is left out.
func (keys Keys[C]) ShowWith(c *C, comment func(key string) string) string {
	var b strings.Builder
	for _, k := range keys {
		if k.section == nil {
			fmt.Fprintf(&b, "%s = %s%s\n", k.Name, k.show(c), asComment(comment(k.Name)))
		}
	}
	for _, k := range keys {
		if k.section != nil {
			b.WriteString(k.section(c, asComment(comment(k.Name))))
		}
	}
	return b.String()
}

// asComment is the comment behind a line; empty without words.
func asComment(words string) string {
	if words == "" {
		return ""
	}
	return "  # " + strings.Join(strings.Fields(words), " ")
}
