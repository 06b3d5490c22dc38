package ondemand

import (
	"net/url"
	"testing"
)

// TestAddOrigin: a POST below a prefix needs no origin, and one that has an origin keeps it.
func TestAddOrigin(t *testing.T) {
	tables := NewTables([]Rule{{Prefix: "github.com/", Template: "https://github.com/{path}"}, {Prefix: "no/", Template: "none"}})
	for posted, want := range map[string]string{
		"name=github.com/jack/x":                    "name=github.com/jack/x&origin=https://github.com/jack/x",
		"name=/github.com/jack/x.git/":              "name=github.com/jack/x&origin=https://github.com/jack/x",
		"name=github.com/jack/x&origin=https://h/x": "name=github.com/jack/x&origin=https://h/x",
		"name=github.com/jack/x&origin=":            "name=github.com/jack/x&origin=",
		"name=gitlab.com/jack/x":                    "name=gitlab.com/jack/x",
		"name=../x":                                 "name=../x",
		"wait=1s":                                   "wait=1s",
	} {
		form, err := url.ParseQuery(posted)
		if err != nil {
			t.Fatal(err)
		}
		wanted, err := url.ParseQuery(want)
		if err != nil {
			t.Fatal(err)
		}
		if err := tables.AddOrigin(form); err != nil || form.Encode() != wanted.Encode() {
			t.Errorf("%s: %s, %v", posted, form.Encode(), err)
		}
	}
	form := url.Values{"name": {"no/x"}}
	if err := tables.AddOrigin(form); err == nil {
		t.Errorf("a name that has no origin becomes %s", form.Encode())
	}
}
