package protocol

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/origin"
)

// TestAnswersOfSlavesShowNoCredentials: a slave may repeat credentials that it was sent, encoded as
// in the request, or decoded.
func TestAnswersOfSlavesShowNoCredentials(t *testing.T) {
	for _, words := range [][2]string{{"t0ken-us3r", "s3cr3t-p4ss"}, {"t0ken us3r", "s3cr3t/@:p4ss w&rd+%"}, {"t0ken-us3r", ""}, {"git", "s3cr3t p4ss"}} {
		u := url.URL{Scheme: "https", Host: "h", Path: "/r.git", User: url.UserPassword(words[0], words[1])}
		o, err := origin.Parse(u.String(), false)
		if err != nil {
			t.Fatal(err)
		}
		req := Pull{Origin: o}
		form := req.Form()
		for what, said := range map[string]string{
			"the form": form.Encode(), "the origin": form.Get("origin"), "the user information": u.User.String(),
			"the words": "user " + words[0] + " password " + words[1],
			"a query":   "user=" + url.QueryEscape(words[0]) + "&password=" + url.QueryEscape(words[1]),
			"a path":    "/" + url.PathEscape(words[0]) + "/" + url.PathEscape(words[1]),
			"a header":  base64.StdEncoding.EncodeToString([]byte(words[0] + ":" + words[1])),
		} {
			shown := errtext.Sanitize(said, req.Secrets())
			for _, part := range []string{"t0ken", "us3r", "s3cr3t", "p4ss", "dDBrZW4", "Z2l0"} {
				if strings.Contains(shown, part) {
					t.Errorf("%s: %s shows %s", what, shown, part)
				}
			}
		}
	}
	if said := "git is not x"; errtext.Sanitize(said, Pull{Origin: origin.URL{}.As("git", "x")}.Secrets()) != said {
		t.Error("a short word is hidden")
	}
}
