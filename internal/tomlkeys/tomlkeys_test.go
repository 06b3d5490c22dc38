package tomlkeys

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// word is an item of a list: lower-case letters.
type word string

func (w word) String() string       { return string(w) }
func (w word) Same(other word) bool { return w == other }

func parseWord(s string) (word, error) {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyz") != "" {
		return "", fmt.Errorf("%q is no word", s)
	}
	return word(s), nil
}

type pet struct {
	name, secret string
	alive        bool
	legs         int
	age          time.Duration
	weight       int64
	tricks       []word
}

var keys = Keys[pet]{
	String("name", func(p *pet) *string { return &p.name }, func(s string) error {
		if s == "" {
			return errors.New("must not be empty")
		}
		return nil
	}),
	Words("secret", func(p *pet, s string) error { p.secret = s; return nil }, func(*pet) string { return "" }),
	Bool("alive", func(p *pet) *bool { return &p.alive }),
	Int("legs", func(p *pet) *int { return &p.legs }, 0, 8),
	Duration("age", func(p *pet) *time.Duration { return &p.age }, time.Millisecond),
	Size("weight", func(p *pet) *int64 { return &p.weight }),
	List("tricks", func(p *pet) *[]word { return &p.tricks }, parseWord, func([]word) error { return nil }),
}

func isSecret(words string) bool { return strings.HasPrefix(words, "secret") }

func read(text string) (p pet, err error) {
	t, err := Read("pets", text, "secret", isSecret)
	if err == nil {
		keys.Set(&p, t)
		err = t.Err()
	}
	return p, err
}

func TestSetAndShow(t *testing.T) {
	want := pet{"Rex \"the\" dog\n", "s", true, 4, 90 * time.Second, 1 << 20, []word{"sit", "roll"}}
	got, err := read("name = 'Rex \"the\" dog\n'\nsecret = 's'\nalive = true\nlegs = 4\nage = 90000\nweight = \"1MiB\"\ntricks = ['sit', 'roll']\n")
	if err == nil || !strings.HasPrefix(err.Error(), "pets:") { // a literal string has one line
		t.Errorf("got %+v, %v", got, err)
	}
	got, err = read("name = '''\nRex \"the\" dog\n'''\nsecret = 's'\nalive = true\nlegs = 4\nage = 90000\nweight = \"1MiB\"\ntricks = ['sit', 'roll']\n")
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	again, err := read(keys.Show(&got))
	if want.secret = ""; err != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("shown and read again it is %+v, %v\n%s", again, err, keys.Show(&got))
	}
}

// override is read with variables of an environment.
func override(text string, environ ...string) (p pet, from string, err error) {
	t, err := Read("pets", text, "secret", isSecret)
	if err == nil {
		t.Override("PET_", environ)
		keys.Set(&p, t)
		from, err = t.From("tricks"), t.Err()
	}
	return p, from, err
}

func TestVariables(t *testing.T) {
	got, from, err := override("name = 'Rex'\n\ntricks = ['sit']\nlegs = 4", "PET_NAME= a # \"b\" ", "PET_ALIVE=true", "PET_LEGS=3",
		"PET_AGE=90s", "PET_WEIGHT=1KiB", "PET_TRICKS= roll,over\nplay  dead,", "OTHER_NAME=x", "PET_SECRET=s",
		"PET_SERVICE_HOST=10.0.0.1", "PET_SERVICE_PORT_HTTP=80", "PET_PORT=tcp://10.0.0.1:80", "PET_PORT_80_TCP_ADDR=10.0.0.1", "PET_B_SERVICE_PORT=80")
	want := pet{" a # \"b\" ", "s", true, 3, 90 * time.Second, 1 << 10, []word{"roll", "over", "play", "dead"}}
	if err != nil || !reflect.DeepEqual(got, want) || from != "PET_TRICKS, which overrides pets:3" {
		t.Errorf("got %+v from %s, %v", got, from, err)
	}
	got, from, err = override("name = 'Rex'\nlegs = 4", "PET_NAME=", "PET_LEGS=", "PET_AGE=1500", "PET_TRICKS=[]")
	want = pet{name: "Rex", legs: 4, age: 1500 * time.Millisecond, tricks: []word{}}
	if err != nil || !reflect.DeepEqual(got, want) || from != "PET_TRICKS" {
		t.Errorf("got %+v from %s, %v", got, from, err)
	}
	for variable, want := range map[string]string{
		"PET_ALIVE=yes":          `PET_ALIVE: must be true or false, not "yes"`,
		"PET_LEGS=1\nname = 'x'": `PET_LEGS: must be a whole number, not "1\nname = 'x'"`,
		"PET_TRICKS=a,B,a":       "PET_TRICKS: \"B\" is no word\nPET_TRICKS: \"a\" is listed twice",
		"PET_TRICKS=['a'":        `PET_TRICKS: must be a list of strings, not "['a'"`,
		"PET_LEG=1":              "PET_LEG: unknown key; did you mean legs?",
		"PET_Legs=1":             "PET_Legs: unknown key; did you mean legs?",
		"PET_PORT=80":            "PET_PORT: unknown key",
	} {
		if _, _, err := override("name = 'Rex'", variable); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", variable, err, want)
		}
	}
	if _, _, err := override("\nlegs = 9", "PET_LEGS=10", "PET_LEG=1"); err == nil || // what is overridden is wrong nevertheless
		err.Error() != "pets:2: legs: must be between 0 and 8, not 9\nPET_LEG: unknown key; did you mean legs?\nPET_LEGS: must be between 0 and 8, not 10" {
		t.Error(err)
	}
}

func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"name = ''":                     "pets:1: name: must not be empty",
		"\n# x\nname = 1":               "pets:3: name: must be a string, not a whole number",
		"alive = 'yes'":                 "pets:1: alive: must be true or false, not a string",
		"alive = 'true'":                "pets:1: alive: must be true or false, without quotes",
		"legs = 9":                      "pets:1: legs: must be between 0 and 8, not 9",
		"legs = 1.5":                    "pets:1: legs: must be a whole number, not a number with a fraction",
		"age = 0":                       "pets:1: age: 0s is too short: write 1ms or longer",
		"age = '530w'":                  "pets:1: age: 3710d is too long: write 3650d or shorter",
		"age = '-1s'":                   "pets:1: age: a duration cannot be negative",
		"age = true":                    "pets:1: age: must be a number of milliseconds or a string such as \"90s\" or \"30d\", not true",
		"weight = -1":                   "pets:1: weight: a size cannot be negative",
		"tricks = ['a', 'B', 'a', 'C']": "pets:1: tricks: \"B\" is no word\npets:1: tricks: \"a\" is listed twice\npets:1: tricks: \"C\" is no word",
		"tricks = [1]":                  "pets:1: tricks: must be a list of strings, and one of its elements is a whole number",
		"tricks = {}":                   "pets:1: tricks: must be a list of strings, not a table",
		"Name = 'x'":                    "pets:1: Name: unknown key; did you mean name?",
		"leg = 1\ncolour = 'x'":         "pets:1: leg: unknown key; did you mean legs?\npets:2: colour: unknown key",
		"nmae = 'x'":                    "pets:1: nmae: unknown key; did you mean name?",
		"weigth = 1":                    "pets:1: weigth: unknown key; did you mean weight?",
		"name = x":                      "pets:1: name: expected value but found \"x\" instead; a string needs quotes, as in \"text\"",
		"\n[pet]\nname = 'x'\nweigth = 1\ncolour = 1": "pets:2: pet: there is no such table: remove [pet], and write its keys by themselves at the top: colour, name, weigth (did you mean weight?)",
		"[[pet]]":                 "pets:1: pet: there is no such table: remove it",
		"[pet]":                   "pets:1: pet: there is no such table: remove it",
		"secret = hunter2":        "pets:1: secret: must be a string in quotes",
		"secret = [\n hunter2\n]": "pets:2: secret: must be a string in quotes",
	} {
		if _, err := read(text); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if _, err := read("name = "); !errors.As(err, new(*Error)) {
		t.Errorf("got %v", err)
	}
}
