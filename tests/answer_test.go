package tests

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"testing"
	"time"
)

// answer is what a daemon answers.
type answer struct {
	*http.Response
	body []byte
	err  error // while the body was read
}

func (a answer) text() string { return string(a.body) }

// to is what it answers. A request that nobody has answered has the reason in its status.
func (a answer) to() string {
	if a.Request == nil {
		return "a request"
	}
	return a.Request.Method + " " + a.Request.URL.String()
}

// client never waits longer than a test does, and reuses no connections, so that
// a daemon that is gone is noticed.
var client = &http.Client{Timeout: patient + 30*time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// do sends a request. Pairs of header names and values may follow.
func (d *daemon) do(method, path string, body io.Reader, headers ...string) answer {
	d.t.Helper()
	a, err := d.try(method, path, body, headers...)
	if err != nil {
		d.t.Fatalf("%s %s: %v\n%s", method, path, err, d.log)
	}
	return a
}

func (d *daemon) try(method, path string, body io.Reader, headers ...string) (answer, error) {
	ctx := context.Background()
	if d.wrote != nil {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { d.wrote() }})
	}
	r, err := http.NewRequestWithContext(ctx, method, d.url+path, body)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := cmp.Or(d.client, client).Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	a := answer{Response: response}
	a.body, a.err = io.ReadAll(response.Body)
	return a, nil
}

func (d *daemon) get(path string, headers ...string) answer {
	d.t.Helper()
	return d.do("GET", path, nil, headers...)
}

// form is the body of a POST for a mirror. Pairs of more fields may follow.
func form(name, origin string, fields ...string) io.Reader {
	values := url.Values{"name": {name}, "origin": {origin}}
	for i := 0; i+1 < len(fields); i += 2 {
		values.Set(fields[i], fields[i+1])
	}
	return strings.NewReader(values.Encode())
}

const formType = "application/x-www-form-urlencoded"

func (d *daemon) post(name, origin string, fields ...string) answer {
	d.t.Helper()
	return d.do("POST", "/", form(name, origin, fields...), "Content-Type", formType)
}

// posting posts while the test goes on. Why there was no answer stands in the status.
func (d *daemon) posting(name, origin string, headers ...string) <-chan answer {
	return d.doing("POST", "/", form(name, origin), append([]string{"Content-Type", formType}, headers...)...)
}

// getting gets a path while the test goes on.
func (d *daemon) getting(path string) <-chan answer { return d.doing("GET", path, nil) }

func (d *daemon) doing(method, path string, body io.Reader, headers ...string) <-chan answer {
	done := make(chan answer, 1)
	go func() {
		a, err := d.try(method, path, body, headers...)
		if err != nil {
			a.Response = &http.Response{Status: err.Error()}
		}
		done <- a
	}()
	return done
}

// pulled posts and expects success.
func (d *daemon) pulled(name, origin string, fields ...string) answer {
	d.t.Helper()
	a := d.post(name, origin, fields...)
	if a.StatusCode != http.StatusOK {
		d.t.Fatalf("POST %s %s: %s\n%s", name, origin, a.Status, a.text())
	}
	return a
}

// report is a POST's answer as JSON.
type report struct {
	Name, Origin, Address, State, Branch, Revision, Progress, Error string
	Status                                                          int
	RefsChanged                                                     int    `json:"refs_changed"`
	HierarchicalError                                               string `json:"hierarchical_error"`
	Slaves                                                          []report
}

func (a answer) report(t *testing.T) report {
	t.Helper()
	var r report
	if err := json.Unmarshal(a.body, &r); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	return r
}

// files are the regular files of a tar, by name.
func (a answer) files(t *testing.T) map[string]string {
	t.Helper()
	if a.StatusCode != http.StatusOK || a.err != nil {
		t.Fatalf("%s %v\n%s", a.Status, a.err, a.text())
	}
	files := make(map[string]string)
	r := tar.NewReader(bytes.NewReader(a.body))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			text, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			files[h.Name] = string(text)
		}
	}
}

// expect checks the status and some headers of an answer.
func (a answer) expect(t *testing.T, status int, headers ...string) answer {
	t.Helper()
	if a.StatusCode != status {
		t.Errorf("%s: status %s, want %d\n%.2000s", a.to(), a.Status, status, a.text())
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if got := a.Header.Get(headers[i]); got != headers[i+1] {
			t.Errorf("%s: %s is %q, want %q", a.to(), headers[i], got, headers[i+1])
		}
	}
	return a
}

// contains checks that an answer's text has these parts.
func (a answer) contains(t *testing.T, parts ...string) answer {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(a.text(), part) {
			t.Errorf("%s: no %q in\n%s", a.to(), part, a.text())
		}
	}
	return a
}
