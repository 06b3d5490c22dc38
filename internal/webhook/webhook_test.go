package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/origin"
)

const secret = access.Secret("the-secret-of-the-hook")

func mac(key, text string) []byte {
	h := hmac.New(sha256.New, []byte(key))
	io.WriteString(h, text)
	return h.Sum(nil)
}

func hexMAC(text string) string { return hex.EncodeToString(mac(string(secret), text)) }

// header makes a header of names and values in turn.
func header(pairs ...string) http.Header {
	h := make(http.Header)
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

// kindOf is the kind of an *Error, or -1.
func kindOf(err error) Kind {
	if refused := (*Error)(nil); errors.As(err, &refused) {
		return refused.Kind
	}
	return -1
}

func TestSignatures(t *testing.T) {
	const body = `{"zen":"once","object_kind":"push","project":{"git_http_url":"https://git.example/a/b"},"repository":{"clone_url":"https://git.example/a/b"}}`
	key := "0123456789abcdef0123456789abcdef"
	signing := access.Secret("whsec_" + base64.StdEncoding.EncodeToString([]byte(key)))
	standard := func(id, at, body string) string {
		return "v1," + base64.StdEncoding.EncodeToString(mac(key, id+"."+at+"."+body))
	}
	right, wrong := hexMAC(body), hexMAC(body+" ")
	for i, c := range []struct {
		forge  Forge
		secret access.Secret
		header http.Header
		ok     bool
	}{
		{GitHub, secret, header("X-GitHub-Event", "ping", "X-Hub-Signature-256", "sha256="+right), true},
		{GitHub, secret, header("X-GitHub-Event", "ping", "X-Hub-Signature-256", "sha256="+strings.ToUpper(right)), true},
		{GitHub, secret, header("X-GitHub-Event", "ping", "X-Hub-Signature-256", "sha256="+wrong), false},
		{GitHub, secret, header("X-GitHub-Event", "ping", "X-Hub-Signature-256", "sha256="+right[:62]), false},
		{GitHub, secret, header("X-GitHub-Event", "ping", "X-Hub-Signature-256", "sha256="), false},
		{GitHub, secret, header("X-GitHub-Event", "ping", "X-Hub-Signature-256", "sha1=00"), false},
		{GitHub, secret, header("X-GitHub-Event", "ping"), false},
		{GitHub, "another-secret-of-a-hook", header("X-GitHub-Event", "ping", "X-Hub-Signature-256", "sha256="+right), false},
		{GitHub, secret, header("X-GitHub-Event", "ping", "X-Gitea-Signature", right), false},
		{Gitea, secret, header("X-Gitea-Event", "push", "X-Gitea-Signature", right), true},
		{Gitea, secret, header("X-Gitea-Event", "push", "X-Hub-Signature-256", "sha256="+right), true},
		{Gitea, secret, header("X-Gitea-Event", "push", "X-Gitea-Signature", wrong, "X-Hub-Signature-256", "sha256="+right), false},
		{Forgejo, secret, header("X-Forgejo-Event", "push", "X-Forgejo-Signature", right), true},
		{Forgejo, secret, header("X-Forgejo-Event", "push", "X-Forgejo-Signature", wrong, "X-Gitea-Signature", right), false},
		{Bitbucket, secret, header("X-Event-Key", "diagnostics:ping", "X-Hub-Signature", "sha256="+right), true},
		{Bitbucket, secret, header("X-Event-Key", "diagnostics:ping", "X-Hub-Signature", "sha256="+wrong), false},
		{GitLab, secret, header("X-Gitlab-Token", string(secret)), true},
		{GitLab, secret, header("X-Gitlab-Token", string(secret)+"x"), false},
		{GitLab, secret, header("X-Hub-Signature-256", "sha256="+right), false},
		{GitLab, signing, header("Webhook-Id", "1", "Webhook-Timestamp", "1700000000", "Webhook-Signature", standard("1", "1700000000", body)), true},
		{GitLab, signing, header("Webhook-Id", "1", "Webhook-Timestamp", "1700000000", "Webhook-Signature", "v1,AAAA "+standard("1", "1700000000", body)), true},
		{GitLab, signing, header("Webhook-Id", "2", "Webhook-Timestamp", "1700000000", "Webhook-Signature", standard("1", "1700000000", body)), false},
		{GitLab, signing, header("Webhook-Id", "1", "Webhook-Timestamp", "1700000000", "Webhook-Signature", strings.Repeat("v1,AAAA ", maxSignatures)+standard("1", "1700000000", body)), false},
		{GitLab, signing, header("X-Gitlab-Token", string(signing)), false},
		{GitLab, "whsec_", header("Webhook-Signature", "v1,"), false},
	} {
		_, err := Hook{Name: "h", Forge: c.forge, Secret: c.secret}.Read(c.header, strings.NewReader(body))
		if c.ok && err != nil || !c.ok && kindOf(err) != Unsigned {
			t.Errorf("%d, %s: %v", i, c.forge, err)
		}
		if err != nil && strings.Contains(err.Error(), string(c.secret)) && len(c.secret) > 10 {
			t.Errorf("%d: %v tells the secret", i, err)
		}
	}
}

// TestFormsAreSigned: Gitea and Forgejo sign the JSON that a form holds, and GitHub the form.
func TestFormsAreSigned(t *testing.T) {
	const text = `{"ref":"refs/heads/a b","repository":{"clone_url":"https://git.example/a/b"}}`
	form := "payload=" + url.QueryEscape(text)
	const form1, json1, none = "the form", "the JSON", "nothing"
	signed := map[string]string{form1: hexMAC(form), json1: hexMAC(text), none: hexMAC("")}
	for i, c := range []struct {
		forge        Forge
		signed, body string
		want         Kind // -1 for none
	}{
		{GitHub, form1, form, -1}, {GitHub, json1, form, Unsigned}, {GitHub, none, form, Unsigned},
		{Gitea, form1, form, -1}, {Gitea, json1, form, -1}, {Gitea, none, form, Unsigned}, {Gitea, none, text, Unsigned}, {Gitea, json1, text, -1},
		{Forgejo, json1, form, -1}, {Forgejo, json1, form[:len(form)-3], Unsigned}, {Forgejo, json1, form + "x", Unsigned}, {Forgejo, json1, form + "%zz", Malformed},
		{Forgejo, form1, form + "&payload=x", Unsigned}, {Bitbucket, json1, form, Unsigned}, {Generic, json1, form, Unsigned},
	} {
		header := header("X-GitHub-Event", "push", "X-Event-Key", "repo:push", "X-Hub-Signature-256", "sha256="+signed[c.signed], "X-Hub-Signature", "sha256="+signed[c.signed])
		d, err := Hook{Name: "h", Forge: c.forge, Secret: secret}.Read(header, strings.NewReader(c.body))
		if kindOf(err) != c.want || c.want == -1 && len(d.At) != 1 {
			t.Errorf("%d: %s, %s is signed: %+v, %v", i, c.forge, c.signed, d, err)
		}
	}
}

// TestUnsignedPing: the test of Bitbucket Data Center has no signature; one that is wrong is refused.
func TestUnsignedPing(t *testing.T) {
	hook := Hook{Name: "h", Forge: Bitbucket, Secret: secret}
	d, err := hook.Read(header("X-Event-Key", "diagnostics:ping"), strings.NewReader(`{"test":true}`))
	if answer := newAnswer(d); err != nil || d.Effect != Ping || answer.Status != http.StatusOK || !strings.Contains(answer.String(), "is not signed") {
		t.Errorf("%+v, %v", d, err)
	}
	for _, h := range []http.Header{
		header("X-Event-Key", "diagnostics:ping", "X-Hub-Signature", "sha256=00"), header("X-Event-Key", "repo:push"), header("X-GitHub-Event", "ping"),
	} {
		if _, err := hook.Read(h, strings.NewReader(`{"test":true}`)); kindOf(err) != Unsigned {
			t.Errorf("%v: %v", h, err)
		}
	}
}

// read reads a delivery that is signed.
func read(h Hook, body string, pairs ...string) (Delivery, error) {
	h.Name, h.Secret = "h", secret
	head := header(pairs...)
	head.Set("X-Hub-Signature-256", "sha256="+hexMAC(body))
	head.Set("X-Hub-Signature", "sha256="+hexMAC(body))
	head.Set("X-Gitlab-Token", string(secret))
	return h.Read(head, strings.NewReader(body))
}

func TestBodies(t *testing.T) {
	hook := Hook{Forge: GitHub}
	long := `{"repository":{"clone_url":"https://git.example/a/b"},"filler":"` + strings.Repeat("x", 24<<20) + `"}`
	if d, err := read(hook, long, "X-GitHub-Event", "push", "X-GitHub-Delivery", "1"); err != nil || len(d.At) != 1 {
		t.Errorf("24 MiB: %+v, %v", d, err)
	}
	if _, err := read(hook, long+strings.Repeat(" ", 1<<20), "X-GitHub-Event", "push"); kindOf(err) != TooLarge {
		t.Errorf("more than 25 MiB: %v", err)
	}
	for _, body := range []string{"", "{", "<html>", `{"repository":}`} {
		if _, err := read(hook, body, "X-GitHub-Event", "push"); kindOf(err) != Malformed {
			t.Errorf("%q: %v", body, err)
		}
		if _, err := (Hook{Forge: GitHub, Secret: secret}).Read(header("X-Hub-Signature-256", "sha256=00"), strings.NewReader(body)); kindOf(err) != Unsigned {
			t.Errorf("%q, not signed: %v", body, err)
		}
	}
}

func TestDeliveriesAreTold(t *testing.T) {
	body := `{"repository":{"clone_url":"https://git.example/a/b"}}`
	keyOf := func(h Hook, body, id string) string {
		d, err := read(h, body, "X-GitHub-Event", "push", "X-GitHub-Delivery", id)
		if err != nil {
			t.Fatal(err)
		}
		return d.Key
	}
	hook := Hook{Forge: GitHub}
	first := keyOf(hook, body, "1")
	if first == "" || first != keyOf(hook, body, "1") || first == keyOf(hook, body, "2") || first == keyOf(hook, body+" ", "1") || keyOf(hook, body, "") != "" {
		t.Error("a delivery is not told from others by its id and its body")
	}
	d, err := read(Hook{Forge: Generic}, `{"origin":"https://git.example/a/b","id":"`+strings.Repeat("x", 2*maxID)+`"}`)
	if err != nil || len(d.ID) > maxID+len("…") || d.Key == "" {
		t.Errorf("%+v, %v", d, err)
	}
}

// show is an event in one line.
func (e Event) show() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d", e.Effect)
	for i, at := range e.At {
		fmt.Fprintf(&b, " %s:%s", at.Host, at.Path)
		if len(e.Formers) > 0 {
			fmt.Fprintf(&b, "<-%s:%s", e.Formers[i].Host, e.Formers[i].Path)
		}
	}
	return b.String()
}

const (
	gitHubRepository = `"repository":{"id":7,"name":"widgets","full_name":"acme/widgets","private":true,"owner":{"login":"acme"},
		"html_url":"https://github.com/acme/widgets","git_url":"git://github.com/acme/widgets.git","ssh_url":"git@github.com:acme/widgets.git",
		"clone_url":"https://github.com/acme/widgets.git","default_branch":"main"}`
	gitLabProject = `"project":{"id":7,"name":"Widgets","web_url":"https://git.in.local/acme/widgets","git_ssh_url":"ssh://git@git.in.local:2222/acme/widgets.git",
		"git_http_url":"https://git.in.local/acme/widgets.git","path_with_namespace":"acme/widgets","default_branch":"main"}`
	cloudRepository  = `"repository":{"uuid":"{1-2}","full_name":"acme/widgets","links":{"html":{"href":"https://bitbucket.org/acme/widgets"}}}`
	centerRepository = `{"slug":"widgets","id":7,"project":{"key":"ACME"},"links":{"clone":[{"href":"ssh://git@git.in.local:7999/acme/widgets.git","name":"ssh"},
		{"href":"https://git.in.local/scm/acme/widgets.git","name":"http"}],"self":[{"href":"https://git.in.local/projects/ACME/repos/widgets/browse"}]}}`
)

func TestEvents(t *testing.T) {
	const here = " github.com:acme/widgets"
	github, gitea, gitlab, bitbucket, generic := Hook{Forge: GitHub}, Hook{Forge: Gitea}, Hook{Forge: GitLab}, Hook{Forge: Bitbucket}, Hook{Forge: Generic}
	for i, c := range []struct {
		hook      Hook
		event     string // the value of the forge's header
		body      string // without its braces
		want      string // as show has it; empty for an error
		wantError Kind
	}{
		{github, "ping", `"zen":"Speak like a human.",` + gitHubRepository, "1" + here, 0},
		{github, "ping", `"zen":"of an organisation"`, "1", 0},
		{github, "push", `"ref":"refs/heads/main",` + gitHubRepository, "2" + here, 0},
		{github, "push", `"ref":"refs/heads/old","deleted":true,` + gitHubRepository, "2" + here, 0},
		{github, "create", `"ref":"v1","ref_type":"tag",` + gitHubRepository, "2" + here, 0},
		{github, "delete", `"ref":"old","ref_type":"branch",` + gitHubRepository, "2" + here, 0},
		{github, "repository", `"action":"created",` + gitHubRepository, "3" + here, 0},
		{github, "repository", `"action":"renamed","changes":{"repository":{"name":{"from":"gears"}}},` + gitHubRepository, "4" + here + "<-github.com:acme/gears", 0},
		{github, "repository", `"action":"transferred","changes":{"owner":{"from":{"user":{"login":"jack"}}}},` + gitHubRepository, "4" + here + "<-github.com:jack/widgets", 0},
		{github, "repository", `"action":"transferred","changes":{"owner":{"from":{"organization":{"login":"corp"}}}},` + gitHubRepository, "4" + here + "<-github.com:corp/widgets", 0},
		{github, "repository", `"action":"renamed",` + gitHubRepository, "0" + here, 0},
		{github, "repository", `"action":"edited","changes":{"default_branch":{"from":"master"}},` + gitHubRepository, "2" + here, 0},
		{github, "repository", `"action":"edited","changes":{"description":{"from":"x"}},` + gitHubRepository, "0" + here, 0},
		{github, "repository", `"action":"archived",` + gitHubRepository, "0" + here, 0},
		{github, "repository", `"action":"deleted",` + gitHubRepository, "5" + here, 0},
		{github, "issues", `"action":"opened",` + gitHubRepository, "", Unheard},
		{github, "", gitHubRepository, "", Malformed},
		{github, "push", `"repository":{"clone_url":"ext::sh -c id"}`, "", Malformed},
		{github, "push", `"repository":{"clone_url":7}`, "", Malformed},
		{gitea, "push", gitHubRepository, "2" + here, 0},

		{gitlab, "Push Hook", `"object_kind":"push","event_name":"push",` + gitLabProject, "2 git.in.local:acme/widgets", 0},
		{gitlab, "Tag Push Hook", `"object_kind":"tag_push",` + gitLabProject, "2 git.in.local:acme/widgets", 0},
		{gitlab, "System Hook", `"event_name":"repository_update",` + gitLabProject, "2 git.in.local:acme/widgets", 0},
		{gitlab, "System Hook", `"event_name":"project_create","path_with_namespace":"acme/widgets"`, "3 git.in.local:acme/widgets", 0},
		{gitlab, "System Hook", `"event_name":"project_destroy","path_with_namespace":"acme/widgets"`, "5 git.in.local:acme/widgets", 0},
		{gitlab, "Project Hook", `"event_name":"project_rename","path_with_namespace":"acme/widgets","old_path_with_namespace":"acme/gears"`,
			"4 git.in.local:acme/widgets<-git.in.local:acme/gears", 0},
		{Hook{Forge: GitLab, URL: "https://www.in.local/git/"}, "System Hook", `"event_name":"project_transfer","path_with_namespace":"acme/widgets","old_path_with_namespace":"a/b/widgets"`,
			"4 www.in.local:git/acme/widgets<-www.in.local:git/a/b/widgets www.in.local:acme/widgets<-www.in.local:a/b/widgets", 0},
		{gitlab, "System Hook", `"event_name":"user_create"`, "0", 0},
		{gitlab, "Issue Hook", `"object_kind":"issue",` + gitLabProject, "", Unheard},
		{gitlab, "Push Hook", gitLabProject, "", Malformed},

		{bitbucket, "repo:push", cloudRepository, "2 bitbucket.org:acme/widgets", 0},
		{bitbucket, "repo:updated", `"changes":{"full_name":{"old":"acme/gears","new":"acme/widgets"}},` + cloudRepository, "4 bitbucket.org:acme/widgets<-bitbucket.org:acme/gears", 0},
		{bitbucket, "repo:updated", `"changes":{"description":{"old":"x","new":"y"}},` + cloudRepository, "2 bitbucket.org:acme/widgets", 0},
		{bitbucket, "repo:transfer", `"previous_owner":{"username":"jack"},` + cloudRepository, "4 bitbucket.org:acme/widgets<-bitbucket.org:jack/widgets", 0},
		{bitbucket, "repo:deleted", cloudRepository, "5 bitbucket.org:acme/widgets", 0},
		{bitbucket, "pullrequest:created", cloudRepository, "", Unheard},
		{bitbucket, "diagnostics:ping", `"test":true`, "1", 0},
		{bitbucket, "repo:refs_changed", `"repository":` + centerRepository, "2 git.in.local:acme/widgets git.in.local:scm/acme/widgets", 0},
		{bitbucket, "repo:refs_changed", `"repository":{"slug":"widgets","project":{"key":"ACME"},"links":{"self":[{"href":"https://git.in.local/projects/ACME/repos/widgets/browse"}]}}`,
			"2 git.in.local:scm/acme/widgets git.in.local:acme/widgets", 0},
		{bitbucket, "repo:refs_changed", `"repository":{"slug":"widgets","project":{"key":"ACME"}}`, "", Malformed},
		{Hook{Forge: Bitbucket, URL: "https://git.in.local"}, "repo:refs_changed", `"repository":{"slug":"widgets","project":{"key":"~JACK"}}`,
			"2 git.in.local:scm/~jack/widgets git.in.local:~jack/widgets", 0},
		{bitbucket, "repo:modified", `"old":{"slug":"gears","project":{"key":"ACME"}},"new":` + centerRepository,
			"4 git.in.local:acme/widgets<-git.in.local:acme/gears git.in.local:scm/acme/widgets<-git.in.local:scm/acme/gears", 0},
		{bitbucket, "repo:modified", `"old":` + centerRepository + `,"new":` + centerRepository, "0 git.in.local:acme/widgets git.in.local:scm/acme/widgets", 0},

		{generic, "", `"origin":"https://git.in.local/a/b.git"`, "2 git.in.local:a/b", 0},
		{generic, "", `"event":"push","origin":["https://git.in.local/a/b.git","git@ssh.in.local:a/b.git"]`, "2 git.in.local:a/b ssh.in.local:a/b", 0},
		{generic, "", `"event":"rename","origin":"https://git.in.local/a/b.git","former":"https://git.in.local/a/c"`, "4 git.in.local:a/b<-git.in.local:a/c", 0},
		{generic, "", `"event":"rename","origin":"https://git.in.local/a/b.git","former":"https://evil.example/a/c"`, "4 git.in.local:a/b<-:", 0},
		{generic, "", `"event":"delete",` + gitHubRepository, "5" + here, 0},
		{generic, "", `"event":"create","origin":"/srv/git/b.git"`, "3 :srv/git/b", 0},
		{generic, "", `"event":"ping"`, "1", 0},
		{generic, "", `"event":"comment","origin":"https://git.in.local/a/b.git"`, "", Unheard},
		{generic, "", ``, "", Malformed},
	} {
		d, err := read(c.hook, "{"+c.body+"}", "X-GitHub-Event", c.event, "X-Event-Key", c.event, "X-Gitlab-Event", c.event, "X-Gitlab-Instance", "https://git.in.local")
		switch {
		case c.want == "" && kindOf(err) != c.wantError, c.want != "" && err != nil:
			t.Errorf("%d, %s %s: %v", i, c.hook.Forge, c.event, err)
		case c.want != "" && d.show() != c.want:
			t.Errorf("%d, %s %s:\ngot  %s\nwant %s", i, c.hook.Forge, c.event, d.show(), c.want)
		}
	}
}

// Whatever is signed is read without a panic, and what it names is a place or nothing.
func FuzzRead(f *testing.F) {
	f.Add("github", "push", "{"+gitHubRepository+"}")
	f.Add("github", "repository", `{"action":"renamed","changes":{"repository":{"name":{"from":"gears"}}},`+gitHubRepository+"}")
	f.Add("gitlab", "System Hook", `{"event_name":"project_rename","path_with_namespace":"a/b","old_path_with_namespace":"a/c"}`)
	f.Add("bitbucket", "repo:modified", `{"old":{"slug":"gears","project":{"key":"ACME"}},"new":`+centerRepository+"}")
	f.Add("generic", "", `{"event":"rename","origin":["https://a.example/b"],"former":"https://a.example/c"}`)
	f.Fuzz(func(t *testing.T, forge, event, body string) {
		if _, err := parseForge(forge); err != nil {
			return
		}
		d, err := read(Hook{Forge: Forge(forge)}, body, "X-GitHub-Event", event, "X-Event-Key", event, "X-Gitlab-Event", event, "X-Gitlab-Instance", "https://git.in.local")
		if err != nil {
			return
		}
		if len(d.Formers) > 0 && len(d.Formers) != len(d.At) {
			t.Fatalf("%+v has not one former place for each", d.Event)
		}
		for _, place := range d.At {
			if place == (origin.Place{}) {
				t.Fatalf("%+v is nowhere", d.Event)
			}
		}
	})
}

// No delivery is believed that is not signed with the secret, whatever its headers say.
func FuzzSignature(f *testing.F) {
	f.Add("github", "X-Hub-Signature-256", "sha256="+hexMAC("{}"))
	f.Add("gitlab", "X-Gitlab-Token", "x")
	f.Add("gitlab", "Webhook-Signature", "v1,AAAA v1,")
	f.Fuzz(func(t *testing.T, forge, name, value string) {
		if _, err := parseForge(forge); err != nil || strings.Contains(value, string(secret)) {
			return
		}
		_, err := Hook{Forge: Forge(forge), Secret: secret}.Read(http.Header{http.CanonicalHeaderKey(name): {value}}, strings.NewReader(`{"x":1}`))
		if kindOf(err) != Unsigned {
			t.Fatalf("%s: %q was believed: %v", name, value, err)
		}
	})
}
