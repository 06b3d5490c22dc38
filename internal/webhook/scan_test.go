package webhook

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func scanText(text string, paths ...string) (fields, error) {
	return scan(bufio.NewReader(strings.NewReader(text)), set(nil, paths...))
}

func TestScan(t *testing.T) {
	text := ` {"a": {"b": "one\n\"\u00e4\ud83d\ude00", "c": 12.5e3, "b.b": "dotted", "long": "` + strings.Repeat("x", maxWord+1) + `"},
		"list": [{"href": "1"}, {"href": "2", "other": [[], {}, true, null]}, "3"], "yes": true, "none": null, "a.b": "dotted"} `
	got, err := scanText(text, "a.b", "a.c", "a.long", "list.href", "list", "yes", "none", "a.missing")
	if err != nil {
		t.Fatal(err)
	}
	want := "map[a.b:[one\n\"ä😀] a.c:[12.5e3] list:[3] list.href:[1 2] yes:[true]]"
	if fmt.Sprint(got) != want {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestScanRefuses(t *testing.T) {
	for _, text := range []string{
		"", " ", "{", "[", `"`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, "[1,]", "[,]", "{,}", "{1:2}", "{}{}", "1 2", "nul", "01", "1.", "tru",
		`"\x"`, `"\u12"`, `"\u12g4"`, "\"\n\"", "[1}", `{"a"}`, `{"a" 1}`, "<html>", strings.Repeat("[", maxDepth+2) + strings.Repeat("]", maxDepth+2),
		strings.Repeat("1", maxScalar+2),
	} {
		if _, err := scanText(text, "a"); !errors.Is(err, errJSON) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
	gone := errors.New("the client has gone")
	if _, err := scan(bufio.NewReader(iotest.ErrReader(gone)), nil); err != gone {
		t.Errorf("an error of the reader became %v", err)
	}
}

// One string, one key and one array of many megabytes each take no memory to speak of.
func TestScanTakesNoMemory(t *testing.T) {
	huge := func(start, middle, end string) io.Reader {
		return io.MultiReader(strings.NewReader(start), io.LimitReader(repeating(middle), MaxBody/8/int64(len(middle))*int64(len(middle))), strings.NewReader(end))
	}
	for what, body := range map[string]io.Reader{
		"string": huge(`{"a":"`, "x", `"}`), "key": huge(`{"`, "x", `":1}`), "array": huge(`{"a":[`, `"x",`, `"y"]}`), "space": huge("", " ", "{}"),
		"objects": huge(`{"a":[`, `{"b":1},`, `1]}`),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := scan(bufio.NewReader(body), set(nil, "a", "a.b")); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		runtime.ReadMemStats(&after)
		if taken := after.TotalAlloc - before.TotalAlloc; taken > 1<<20 && !raceEnabled {
			t.Errorf("%s: %d bytes were allocated", what, taken)
		}
	}
}

type repeating string

func (r repeating) Read(p []byte) (n int, err error) {
	for n+len(r) <= len(p) {
		n += copy(p[n:], r)
	}
	return n, nil
}

func TestForm(t *testing.T) {
	text := `{"repository": {"clone_url": "https://git.example/a+b/ä.git"}}`
	for _, body := range []string{text, " \n" + text, "payload=" + url.QueryEscape(text), "payload=" + url.QueryEscape(text) + "&more=%zz"} {
		got, err := scanBody(iotest.OneByteReader(strings.NewReader(body)), GitHub, func() io.Writer { return io.Discard })
		if err != nil || got.first("repository.clone_url") != "https://git.example/a+b/ä.git" {
			t.Errorf("%s: %v, %v", body, got, err)
		}
	}
	for _, body := range []string{"payload=", "payload=%7B%zz", "payload=%7", "other=" + url.QueryEscape(text), "pay"} {
		if _, err := scanBody(strings.NewReader(body), GitHub, func() io.Writer { return io.Discard }); !errors.Is(err, errJSON) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// What is taken for JSON is JSON, and what is found in it is what encoding/json finds.
func FuzzScan(f *testing.F) {
	for _, text := range []string{`{"a":"x"}`, `{"a":["x",{"b":1}],"c":{}}`, `{"a":"\ud83d\ude00\n"}`, `[1.5e-3,true,null]`, `{"a":"`, "\xff", `{"a":"y","a":"z"}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := scanText(text, "a", "a.b")
		if err == nil && !json.Valid([]byte(text)) {
			t.Fatalf("%q was taken for JSON", text)
		}
		if err != nil && json.Valid([]byte(text)) && !strings.Contains(err.Error(), "is read:") {
			t.Fatalf("%q was refused: %v", text, err)
		}
		var document any
		if err != nil || json.Unmarshal([]byte(text), &document) != nil {
			return
		}
		for _, want := range stringsAt(document, "a") {
			if len(got["a"]) < maxValues && len(want) <= maxWord && !strings.Contains(want, "\ufffd") && !slices.Contains(got["a"], want) {
				t.Fatalf("%q: %q was found, and not %q", text, got["a"], want)
			}
		}
	})
}

// stringsAt are the strings that a document of encoding/json has at a key, in arrays or not.
func stringsAt(document any, key string) (found []string) {
	switch v := document.(type) {
	case []any:
		for _, element := range v {
			found = append(found, stringsAt(element, key)...)
		}
	case map[string]any:
		if key != "" && v[key] != nil {
			found = stringsAt(v[key], "")
		}
	case string:
		if key == "" {
			found = []string{v}
		}
	}
	return found
}
