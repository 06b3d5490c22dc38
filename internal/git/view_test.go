package git

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// TestForeignConfiguration calls all methods for copied-in mirrors whose configuration names a
// program for each occasion, or another place to fetch from.
func TestForeignConfiguration(t *testing.T) {
	t.Parallel()
	// The program creates this file if it is run.
	trap := filepath.Join(t.TempDir(), "trap")
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho \"$0 $*\" >>'"+trap+"'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	hooks := t.TempDir()
	for _, hook := range []string{"reference-transaction", "post-checkout", "pre-auto-gc", "post-index-change"} {
		if err := os.Symlink(program, filepath.Join(hooks, hook)); err != nil {
			t.Fatal(err)
		}
	}
	included := filepath.Join(t.TempDir(), "included")
	if err := os.WriteFile(included, []byte("[filter \"x\"]\n\tsmudge = "+program+"\n[core]\n\tgitProxy = "+program+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}

	root := t.TempDir()
	web := origin.ServeHTTP(t, root)
	web.Before(func(r *http.Request) {
		if r.Header.Get("X-Trap") != "" {
			_ = os.WriteFile(trap, []byte("a header was sent"), 0o644)
		}
	})
	daemon := origin.ServeGit(t, root)

	for i, c := range []struct{ base, key, value string }{ // %s is the URL of the origin
		{daemon, "core.gitProxy", program},
		{daemon, "core.sshCommand", program},
		{daemon, "core.hooksPath", hooks},
		{daemon, "core.fsmonitor", program},
		{daemon, "core.alternateRefsCommand", program},
		{daemon, "core.pager", program},
		{daemon, "core.editor", program},
		{daemon, "core.askPass", program},
		{daemon, "include.path", included},
		{daemon, "filter.x.smudge", program},
		{daemon, "filter.x.clean", program},
		{daemon, "filter.x.process", program},
		{daemon, "diff.external", program},
		{daemon, "diff.x.textconv", program},
		{daemon, "merge.x.driver", program},
		{daemon, "gpg.program", program},
		{daemon, "tar.tar.command", program},
		{daemon, "uploadpack.packObjectsHook", program},
		{daemon, "gc.recentObjectsHook", program},
		{daemon, "alias.repack", "!" + program},
		{daemon, "url./nowhere/.insteadOf", "%s"},
		{daemon, "remote.%s.url", "/nowhere"},
		{daemon, "remote.%s.vcs", "nowhere"},
		{daemon, "fetch.bundleURI", web.URL + "/nowhere"},
		{web.URL, "http.%s.proxy", "http://127.0.0.1:1"},
		{web.URL, "http.%s.extraHeader", "X-Trap: 1"},
		{web.URL, "http.proxy", "http://127.0.0.1:1"},
		{web.URL, "credential.helper", program},
		{root, "remote.%s.uploadpack", program},
		{root, "remote.x.promisor", "true"},
	} {
		t.Run(c.key, func(t *testing.T) {
			name := fmt.Sprintf("%d.git", i)
			url := c.base + "/" + name
			r := origin.New(t, filepath.Join(root, name))
			first := r.Commit("main", map[string]string{".gitattributes": "* export-subst filter=x diff=x merge=x", "file": "$Format:%H %G?$"})
			tree := r.Git("rev-parse", first+"^{tree}")
			second := r.GitIn("tree "+tree+"\nparent "+first+"\nauthor T <t@example.org> 1000000009 +0000\n"+
				"committer T <t@example.org> 1000000009 +0000\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n iQ==\n -----END PGP SIGNATURE-----\n\nsigned\n",
				"hash-object", "-t", "commit", "-w", "--stdin")

			m := origin.New(t, filepath.Join(t.TempDir(), "m.git"))
			m.Git("fetch", "--quiet", r.Dir, "main:main")
			other := origin.New(t, filepath.Join(t.TempDir(), "other.git"))
			other.Commit("other", map[string]string{"other": "1"})
			write(t, filepath.Join(m.Dir, "objects", "info", "alternates"), other.Dir+"/objects\n")
			write(t, filepath.Join(m.Dir, "info", "attributes"), "* filter=x diff=x\n")
			for from, to := range map[string]string{c.key: c.value, "extensions.partialClone": "x", "remote.x.url": "ext::" + program} {
				if from == c.key || c.key == "remote.x.promisor" {
					m.Git("config", strings.ReplaceAll(from, "%s", url), strings.ReplaceAll(to, "%s", url))
				}
			}
			r.Git("update-ref", "refs/heads/main", second)
			_ = os.Remove(trap)

			everything(t, New(Options{AllowLocal: true}).Repo(m.Dir), Remote{URL: url}, first, second)
			if text, err := os.ReadFile(trap); err == nil {
				t.Errorf("it was heeded:\n%s", text)
			}
		})
	}
}

// everything calls all methods of a repository.
func everything(t *testing.T, repo Repo, remote Remote, first, second string) {
	t.Helper()
	ctx, unknown := t.Context(), strings.Repeat("12", 20)
	neutral, err := NewNeutral(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	expect := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = repo.Origin(ctx)
	expect("its origin", err)
	_, err = repo.Fetch(ctx, remote, []string{second}, FetchMode{}, nil)
	expect("fetch", err)
	refs := []Ref{{Name: "refs/heads/main", ID: second, Peeled: second}}
	_, err = repo.PackRefs(ctx)
	expect("pack refs", err)
	expect("write", repo.WriteRefs(refs))
	_, err = repo.askRefs(ctx)
	expect("refs", err)
	_, err = repo.Peel(ctx, []Ref{{ID: first}, {ID: unknown}})
	expect("peel", err)
	_, err = repo.NotCommits(ctx, []string{first, unknown})
	expect("types", err)
	_, err = repo.Unreachable(ctx, []string{first, unknown}, []string{second})
	expect("history", err)
	_, err = repo.IsAncestor(ctx, first, second)
	expect("ancestors", err)
	if _, err := repo.Commit(ctx, unknown); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown commit: %v", err)
	}
	_, err = repo.MissingPath(ctx, second, []string{"file"})
	expect("path", err)
	for _, subst := range []bool{false, true} {
		expect("archive", repo.Tar(ctx, neutral, Archive{Commit: second, Subst: subst}, io.Discard))
	}
	var pack bytes.Buffer
	expect("clone", repo.UploadPack(ctx, 0, strings.NewReader("0032want "+second+"\n00000009done\n"), &pack))
	if !bytes.Contains(pack.Bytes(), []byte("PACK")) {
		t.Errorf("a clone gets %q", pack.Bytes())
	}
	for _, how := range []Repack{RepackIncremental, RepackGeometric, RepackFull} {
		expect("repack", repo.Repack(ctx, how))
	}
	damage, _, err := repo.Check(ctx)
	expect("check", errors.Join(damage, err))
	recovered := repo.git.Repo(filepath.Join(t.TempDir(), "recovered.git"))
	expect("init", recovered.Init(ctx, 0, remote.URL))
	_, err = recovered.Recover(ctx, repo, refs, nil)
	expect("recover", err)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestIncompleteMirrors fetches into copied-in mirrors that lack objects.
func TestIncompleteMirrors(t *testing.T) {
	t.Parallel()
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	r.Git("config", "uploadpack.allowFilter", "true")
	for _, text := range []string{"1", "2", "3"} {
		r.Commit("main", map[string]string{"file": text})
	}
	for _, option := range []string{"--depth=1", "--filter=blob:none"} {
		t.Run(option, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "m.git")
			if out, err := origin.Command("clone", "--quiet", "--bare", option, "file://"+r.Dir, dir).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			next := r.Commit("main", map[string]string{"file": option, "another": option})
			repo := New(Options{AllowLocal: true}).Repo(dir)
			if _, err := repo.Fetch(t.Context(), Remote{URL: r.Dir}, []string{next}, FetchMode{}, nil); err != nil {
				t.Error("fetch:", err)
			}
			if err := repo.Repack(t.Context(), RepackFull); err != nil {
				t.Error("repack:", err)
			}
			if out, err := origin.Command("--git-dir="+dir, "rev-list", "--objects", "--missing=allow-promisor", next).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func TestPlainConfigurations(t *testing.T) {
	const ours = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n[remote \"origin\"]\n\turl = https://git.in.local/x.git\n"
	for config, plain := range map[string]bool{
		ours:             true,
		emptyConfigs[64]: true,
		"":               true,
		ours + "\n":      false,
		ours + "\turl = a\\\n\tgitProxy = /evil\n": false,
		ours + "\tproxy = http://evil\n":           false,
		ours + "[core]\n\tgitProxy = /evil\n":      false,
		ours + "[core] gitProxy = /evil\n":         false,
		ours + "[include]\n\tpath = /evil\n":       false,
		ours + "[url \"x\"]\n\tinsteadOf = y\n":    false,
		ours + "\turl = \"a\n":                     false,
		ours + "\turl = a ; b\n":                   false,
		ours + "[remote \"origin\"]\n\tvcs = x\n":  false,
		ours + "\turl = a\r\n":                     true, // the carriage return belongs to the value or to the end of line
	} {
		if got := isPlain(config); got != plain {
			t.Errorf("%q: %v", config, got)
		}
	}
	repo := New(Options{}).Repo(filepath.Join(t.TempDir(), "r.git"))
	if err := repo.Init(t.Context(), 0, "https://git.in.local/x.git"); err != nil {
		t.Fatal(err)
	}
	err := repo.inViewIfNeeded(40, func(in Repo) error {
		if in.Dir != repo.Dir {
			t.Error("a repository of our own is looked at through a view")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
