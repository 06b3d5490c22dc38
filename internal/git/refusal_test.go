package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// TestRefusals asks servers that do not have what they are asked for, each in its own way.
func TestRefusals(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	root := t.TempDir()
	origin.New(t, filepath.Join(root, "there.git")).Commit("main", nil)
	forge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var status int
		var how string
		_, _ = fmt.Sscanf(r.URL.Path, "/%d/%s", &status, &how)
		switch {
		case status == http.StatusFound && len(how) > 5 && how[:5] == "login":
			http.Redirect(w, r, "/200/login", status)
			return
		case status == http.StatusUnauthorized:
			w.Header().Set("WWW-Authenticate", `Basic realm="forge"`)
		}
		if strings.HasPrefix(how, "too-fast") {
			w.Header().Set("Retry-After", "60")
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<!DOCTYPE html><title>Sign in "+strconv.Itoa(status)+"</title>")
		if how != "login/short" {
			_, _ = io.WriteString(w, "\n")
		}
	}))
	t.Cleanup(forge.Close)
	server := origin.ServeHTTP(t, root)
	for url, want := range map[string]bool{
		server.URL + "/none.git":                true,
		origin.ServeGit(t, root) + "/none.git":  true,
		root + "/none.git":                      true,
		forge.URL + "/401/private":              true,
		forge.URL + "/403/private":              true,
		forge.URL + "/403/too-fast":             false,
		forge.URL + "/404/none":                 true,
		forge.URL + "/410/gone":                 true,
		forge.URL + "/451/law":                  true,
		forge.URL + "/200/login/short":          true,
		forge.URL + "/200/login":                true,
		forge.URL + "/302/login":                true,
		forge.URL + "/429/repository-not-found": false,
		forge.URL + "/500/returned error: 404":  false,
		forge.URL + "/503/none":                 false,
		"http://127.0.0.1:1/x":                  false, // nobody listens there
	} {
		for _, r := range []Remote{{URL: url}, {URL: url, User: "jack", Password: "s3cr3t"}} {
			_, err := New(Options{AllowLocal: true}).List(t.Context(), r)
			if wrapped := fmt.Errorf("can't list refs: %w", err); err == nil || IsRefused(wrapped) != want {
				t.Errorf("%s (user %q): refused: %v, want %v: %v", url, r.User, !want, want, err)
			}
		}
	}
	mute := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(mute.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := New(Options{}).List(ctx, Remote{URL: mute.URL + "/x"}); err == nil || IsRefused(err) {
		t.Errorf("a mute server: %v", err)
	}
	if IsRefused(nil) || IsRefused(errors.New("repository not found")) {
		t.Error("what is no answer counts as a refusal")
	}
}
