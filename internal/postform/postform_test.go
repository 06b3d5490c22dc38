package postform

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/conn"
)

// TestRead: a form is read from a body, and what is none says what would be one.
func TestRead(t *testing.T) {
	for _, c := range []struct {
		contentType, body string
		kind              Kind
		want              string // of the fields, or in the error
		wrong             bool
	}{
		{"application/x-www-form-urlencoded", "name=a&origin=b", 0, "name=a&origin=b", false},
		{"application/x-www-form-urlencoded; charset=utf-8", "name=a", 0, "name=a", false},
		{"", "", 0, "", false},
		{"application/json", "{}", WrongType, `not "application/json": curl`, true},
		{"", "name=%zz", Malformed, "the body is not a form", true},
		{"", strings.Repeat("x", maxForm+1), TooLarge, "more than 65536 bytes", true},
	} {
		var form url.Values
		var err error
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			form, err = Read(w, r, new(conn.Budget))
		}))
		request, failed := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader(c.body))
		if failed != nil {
			t.Fatal(failed)
		}
		request.Header.Set("Content-Type", c.contentType)
		response, failed := http.DefaultClient.Do(request)
		if failed != nil {
			t.Fatal(failed)
		}
		response.Body.Close()
		server.Close()
		var is *Error
		switch {
		case !c.wrong && (err != nil || form.Encode() != c.want):
			t.Errorf("%.40q: %s, %v", c.body, form.Encode(), err)
		case c.wrong && (!errors.As(err, &is) || is.Kind != c.kind || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%.40q: %v", c.body, err)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct{ form, query, want string }{
		{"name=a&origin=b", "", ""},
		{"name=a&origin=b", "name=c", ""},
		{"name=a", "", "the body of the POST lacks origin: curl"},
		{"", "", "the body of the POST lacks name and origin: curl"},
		{"name=a&origin=", "origin=b", "origin must be in the body of the POST, and not in its URL: curl"},
	} {
		form, _ := url.ParseQuery(c.form)
		query, _ := url.ParseQuery(c.query)
		if err := Check(form, query); (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q?%q: %v", c.form, c.query, err)
		}
	}
}
