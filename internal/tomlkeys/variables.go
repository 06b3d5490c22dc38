package tomlkeys

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/BurntSushi/toml"
)

// variable is a variable of the environment that stands for a key.
type variable struct {
	name string // such as SOULD_LISTEN
	word string // its value, as it is
}

// Override has those variables of an environment ("NAME=value") whose names begin with prefix set keys:
// PREFIX_MAX_FETCHES sets max_fetches, in place of the text. A variable that is empty counts as not
// there. So do those that Kubernetes and Docker make of a service of that name, such as
// PREFIX_SERVICE_HOST. Any other one that is no key is a mistake: a typing error must not pass.
func (t *Text) Override(prefix string, environ []string) {
	t.variables = make(map[string]variable)
	for _, entry := range environ {
		name, word, _ := strings.Cut(entry, "=")
		if key, ok := strings.CutPrefix(name, prefix); ok && word != "" {
			t.variables[strings.ToLower(key)] = variable{name, word}
		}
	}
}

// serviceLink matches what Kubernetes and Docker call the variables of a service, without a prefix
// (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
var serviceLink = regexp.MustCompile(`(^|_)(SERVICE_HOST=|SERVICE_PORT(_[^=]*)?=\d+$|PORT=\w+://|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?=)`)

// isServiceLink reports whether a variable tells of a service, and not of a key.
func (v variable) isServiceLink() bool { return serviceLink.MatchString(v.name + "=" + v.word) }

// setVariables sets what the variables say. What is wrong is reported to the text.
func (keys Keys[C]) setVariables(c *C, t *Text) {
	for name, v := range t.variables {
		key := keys.find(name)
		switch {
		case key == nil && v.isServiceLink():
			delete(t.variables, name)
		case key == nil || !strings.HasSuffix(v.name, strings.ToUpper(name)):
			t.Report(name, errors.New("unknown key"+keys.didYouMean("; ", name, "")))
		case key.read == nil:
			t.Report(name, errors.New("the environment is no place for it; set it in the file"))
		default:
			value, err := key.read(v.word)
			if err == nil {
				err = key.set(c, value)
			}
			var wrong *typeError
			if errors.As(err, &wrong) { // a variable has no type: what it says is wrong
				err = &typeError{wrong.want, fmt.Sprintf("%q", v.word)}
			}
			if err != nil {
				t.Report(name, err)
			}
		}
	}
}

// Variables are the names of the variables that set keys, sorted.
func (t *Text) Variables() []string {
	var names []string
	for _, v := range t.variables {
		names = append(names, v.name)
	}
	slices.Sort(names)
	return names
}

// From says what has set a key: a variable, the file and line, or nothing ("default").
func (t *Text) From(key string) string {
	v, isVariable := t.variables[key]
	_, inFile := t.values[key]
	switch {
	case isVariable && inFile:
		return fmt.Sprintf("%s, which overrides %s:%d", v.name, t.file, t.line(place{table: key, index: noIndex}))
	case isVariable:
		return v.name
	case inFile:
		return fmt.Sprintf("%s:%d", t.file, t.line(place{table: key, index: noIndex}))
	default:
		return "default"
	}
}

// asString reads the value of a variable as a string.
func asString(word string) (any, error) { return word, nil }

// asValue reads the value of a variable as a value of TOML, such as a number. What is none is a string,
// which set refuses if it wants none.
func asValue(word string) (any, error) {
	var values map[string]any
	if _, err := toml.Decode("value = "+word, &values); err != nil || len(values) != 1 {
		return word, nil
	}
	return values["value"], nil
}

// asList reads the value of a variable as a list of strings: separated by commas or white space, or as
// TOML has it.
func asList(word string) (any, error) {
	if strings.HasPrefix(strings.TrimSpace(word), "[") {
		return asValue(word)
	}
	items := []any{}
	for _, item := range strings.FieldsFunc(word, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		items = append(items, item)
	}
	return items, nil
}
