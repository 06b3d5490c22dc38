package tomlkeys

import (
	"errors"
	"reflect"
	"testing"
	"time"
)

// zoo has pets, and a table of keepers by the hour.
type zoo struct {
	city    string
	pets    []pet
	keepers map[string]string
}

var zooKeys = Keys[zoo]{
	Map("keepers", func(z *zoo) *map[string]string { return &z.keepers }, func(hour, _ string) error {
		if hour == "" {
			return errors.New("needs an hour")
		}
		return nil
	}),
	Tables("pet", func(z *zoo) *[]pet { return &z.pets }, func() pet { return pet{legs: 4, age: time.Second, tricks: []word{}} }, keys, func(p pet) error {
		if p.name == "" {
			return errors.New("name is missing")
		}
		return nil
	}),
	String("city", func(z *zoo) *string { return &z.city }, func(string) error { return nil }),
}

func readZoo(text string) (z zoo, err error) {
	t, err := Read("zoo", text, "secret", isSecret)
	if err == nil {
		t.Override("ZOO_", nil)
		zooKeys.Set(&z, t)
		err = t.Err()
	}
	return z, err
}

func TestTables(t *testing.T) {
	want := zoo{"Rome", []pet{
		{name: "Rex", legs: 4, age: time.Second, tricks: []word{}},
		{name: "Tweety", legs: 2, age: time.Second, tricks: []word{"sing"}},
	}, map[string]string{"9:00": "Ann", "b": "Bob"}}
	got, err := readZoo("city = 'Rome'\n[[pet]]\nname = 'Rex'\n[keepers]\n'9:00' = 'Ann'\nb = 'Bob'\n[[pet]]\nname = 'Tweety'\nlegs = 2\ntricks = ['sing']\n")
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	text := zooKeys.ShowWith(&got, func(string) string { return "of the test" })
	if again, err := readZoo(text); err != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("shown and read again it is %+v, %v\n%s", again, err, text)
	}
	if got, err := readZoo("pet = []"); err != nil || len(got.pets) != 0 {
		t.Errorf("no tables: %+v, %v", got, err)
	}
}

func TestMistakesInTables(t *testing.T) {
	for text, want := range map[string]string{
		"pet = 1":           "zoo:1: pet: must be an array of tables: write [[pet]] above the keys of each",
		"[pet]\nname = 'x'": "zoo:1: pet: must be an array of tables: write [[pet]] above the keys of each",
		"city = 'a'\n[[pet]]\nname = ''\nlegs = 99": "zoo:3: pet[1].name: must not be empty\nzoo:4: pet[1].legs: must be between 0 and 8, not 99",
		"[[pet]]\nname = 'x'\n\n[[pet]]\nlegs = 1":  "zoo:4: pet[2]: name is missing",
		"[[pet]]\nnmae = 'x'":                       "zoo:2: pet[1].nmae: unknown key; did you mean name?",
		"[[pet]]\nname='x'\ntricks = ['A', 'B']":    "zoo:3: pet[1].tricks: \"A\" is no word\nzoo:3: pet[1].tricks: \"B\" is no word",
		"keepers = 'x'":                             "zoo:1: keepers: must be a table of strings, not a string",
		"[keepers]\na = 'x'\nb = 1":                 "zoo:3: keepers.b: must be a string, not a whole number",
		"[keepers]\n'' = 'x'":                       "zoo:1: keepers: needs an hour",
		"[[peet]]\nname = 'x'":                      "zoo:1: peet: there is no such table; did you mean pet?",
	} {
		if _, err := readZoo(text); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
