package git

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// TestMessagesOfTheInstalledGit: every message id of the installed git is known to be dangerous
// or is accepted, and git takes the settings for it. With a new git, it lists the ids that are
// not decided yet.
func TestMessagesOfTheInstalledGit(t *testing.T) {
	g := New(Options{AllowLocal: true})
	if _, err := g.messages.demotable(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	ids := g.messages.ids
	if len(ids) < 40 {
		t.Errorf("git knows of %d messages only: %q", len(ids), ids)
	}
	made := make(map[string]bool)
	for _, name := range origin.Odds() {
		made[strings.TrimRight(name, "0123456789")] = true
	}
	// Git cannot read most of these objects, so that no clone with them can be made. Two others
	// need a file of hundreds of megabytes, or one that is missing.
	unreadable := []string{
		"badObjectSha1", "badParentSha1", "badTree", "badTreeSha1", "badType", "emptyName", "gitattributesMissing",
		"gitmodulesLarge", "gitmodulesMissing", "missingObject", "missingTag", "missingTagEntry", "missingTree", "missingType",
		"missingTypeEntry", "unknownType",
	}
	for _, id := range ids {
		base := strings.TrimRight(id, "0123456789")
		if !made[id] && !made[base] && !slices.Contains(unreadable, id) {
			t.Logf("%s is new, and taken: is it dangerous? Then fsck.go must say so", id)
		}
		if FsckOff.refuses(id) || FsckDefault.refuses(id) && !FsckStrict.refuses(id) {
			t.Errorf("%s: what is stricter refuses less", id)
		}
		if FsckDefault.refuses(id) && FsckDefault.accepts(id) || FsckDefault.refuses(id) != dangerous[id] {
			t.Errorf("%s is both refused and taken", id)
		}
	}
	for id := range maps.Keys(dangerous) {
		if !slices.Contains(ids, id) {
			t.Errorf("git does not know %s any more", id)
		}
	}
	for _, id := range []string{"", "whatGitFindsNext", "zzz"} {
		if FsckDefault.refuses(id) || !FsckDefault.accepts(id) || FsckOff.refuses(id) {
			t.Errorf("the unknown %q is refused", id)
		}
	}

	// All settings at once, in a real fetch without any other warning.
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	id := r.Commit("main", nil)
	for _, level := range []Fsck{FsckDefault, FsckStrict, FsckOff} {
		g := New(Options{AllowLocal: true, Fsck: level})
		settings, err := g.fsckSettings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		repo := g.Repo(filepath.Join(t.TempDir(), "m"))
		if err := repo.Init(t.Context(), 40, ""); err != nil {
			t.Fatal(err)
		}
		if f, err := repo.Fetch(t.Context(), Remote{URL: r.Dir}, []string{id}, FetchMode{}, nil); err != nil || len(f.Warnings)+len(f.Refused) > 0 {
			t.Errorf("%s: %+v, %v", level, f, err)
		}
		args := []string{"--git-dir=" + repo.Dir}
		for i := 0; i < len(settings); i += 2 {
			args = append(args, "-c", settings[i]+"="+settings[i+1])
		}
		out, err := origin.Command(append(args, "fetch", "--refetch", "-q", r.Dir, id)...).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: git says %s (%v) to %q", level, out, err, settings)
		}
	}
}

// TestObjectsWithFaults fetches one object of each kind, and an unrelated branch.
func TestObjectsWithFaults(t *testing.T) {
	t.Parallel()
	dangerousPaths := []string{"fullPathname2", "fullPathname3", "fullPathname4", "fullPathname5"}
	for _, name := range origin.Odds() {
		if name == "gitattributesLarge" && testing.Short() {
			continue // a hundred megabytes
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			message := strings.TrimRight(name, "0123456789")
			if strings.HasSuffix(message, "Sha") {
				message += "1"
			}
			r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
			main, odd := r.Commit("main", map[string]string{"f": "1"}), r.Odd(name)
			tag := r.GitIn("object "+odd+"\ntype "+r.Git("cat-file", "-t", odd)+"\ntag t\ntagger T <t@example.org> 1 +0000\n\nm\n", "mktag", "--no-strict")
			r.Git("update-ref", "refs/tags/t", tag)
			if out, err := origin.Command("clone", "-q", "--mirror", "file://"+r.Dir, t.TempDir()).CombinedOutput(); err != nil {
				t.Fatalf("git clone --mirror: %v\n%s", err, out)
			}
			for level, refused := range map[Fsck]bool{
				FsckDefault: dangerous[message] || slices.Contains(dangerousPaths, name),
				FsckStrict:  !neverRefused[message],
				FsckOff:     false,
			} {
				g := New(Options{AllowLocal: true, Fsck: level})
				repo := g.Repo(filepath.Join(t.TempDir(), "m"))
				if err := repo.Init(t.Context(), 40, ""); err != nil {
					t.Fatal(err)
				}
				f, err := repo.Fetch(t.Context(), Remote{URL: r.Dir}, []string{main, odd, tag}, FetchMode{}, nil)
				if err != nil {
					t.Errorf("%s: %v", level, err)
					continue
				}
				has := func(id string) bool {
					return origin.Command("--git-dir="+repo.Dir, "rev-list", "--objects", id).Run() == nil
				}
				if !has(main) || has(odd) == refused || has(tag) == refused {
					t.Errorf("%s: it has the branch: %v, the object: %v, a tag of it: %v", level, has(main), has(odd), has(tag))
				}
				if refused != (len(f.Refused) == 2 && strings.Contains(f.Refused[odd], message) && strings.Contains(f.Refused[tag], message)) {
					t.Errorf("%s: refused %q", level, f.Refused)
				}
				if refused {
					if len(f.Warnings) > 0 {
						t.Errorf("%s: warnings of what is not there: %v", level, f.Warnings)
					}
					continue
				}
				if err := repo.WriteRefs([]Ref{{Name: "refs/heads/main", ID: main}, {Name: "refs/tags/t", ID: tag}}); err != nil {
					t.Fatal(err)
				}
				damage, checked, err := repo.Check(t.Context())
				if damage != nil || err != nil {
					t.Errorf("%s: a check says %v, %v", level, damage, err)
				}
				if level == FsckOff {
					f.Warnings = checked // nothing was checked as it arrived
				}
				if message == offByDefault {
					checked = append(checked, Warning{ID: offByDefault})
					f.Warnings = append(f.Warnings, Warning{ID: offByDefault})
				}
				if fmt.Sprint(f.Warnings) != fmt.Sprint(checked) || len(checked) != 1 || checked[0].ID != message {
					t.Errorf("%s: warnings when it came: %v, of a check: %v", level, f.Warnings, checked)
				}
				if err := repo.Repack(t.Context(), RepackFull); err != nil {
					t.Errorf("%s: %v", level, err)
				}
			}
		})
	}
}

// TestOnlyWhatLeadsToARefusedObject is refused: by a commit in the history, by a tree that
// several commits have, by a tag.
func TestOnlyWhatLeadsToARefusedObject(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"sha1", "sha256"} {
		t.Run(format, func(t *testing.T) { t.Parallel(); onlyWhatLeadsToARefusedObject(t, format) })
	}
}

func onlyWhatLeadsToARefusedObject(t *testing.T, format string) {
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"), "--object-format="+format)
	first := r.Commit("main", map[string]string{"f": "1"})
	bad := r.Odd("hasDotgit")
	badTree := r.Git("rev-parse", bad+"^{tree}")
	goodTree := r.Git("rev-parse", first+"^{tree}")
	blob := r.Object("blob", "[submodule \"x\"]\n\tpath = x\n\turl = -uid\n")
	ids := map[string]string{
		"good":            r.CommitTree(goodTree, first),
		"good, odd":       r.Odd("nulInHeader"),
		"bad":             bad,
		"bad grandparent": r.CommitTree(goodTree, r.CommitTree(goodTree, bad)),
		"bad merge":       r.CommitTree(goodTree, first, bad),
		"good tree":       goodTree,
		"bad tree":        badTree,
		"good blob":       blob,
		"good README":     r.CommitTree(r.Object("tree", origin.Entry("100644", "README", blob))),
		"bad modules":     r.CommitTree(r.Object("tree", origin.Entry("100644", ".gitmodules", blob)), first),
	}
	for i := range 12 { // commits of the same tree, without common history
		ids[fmt.Sprint("bad ", i)] = r.GitIn(fmt.Sprint(i), "commit-tree", badTree)
		ids[fmt.Sprint("good ", i)] = r.GitIn(fmt.Sprint("x", i), "commit-tree", goodTree)
	}
	for name, id := range maps.Clone(ids) {
		r.Git("tag", "-a", "-m", "m", strings.ReplaceAll(name, " ", "-"), id)
		ids[name+", tagged"] = r.Git("rev-parse", "refs/tags/"+strings.ReplaceAll(name, " ", "-"))
		r.Git("tag", "-a", "-m", "m", "nested-"+strings.ReplaceAll(name, " ", "-"), ids[name+", tagged"])
		ids[name+", nested"] = r.Git("rev-parse", "refs/tags/nested-"+strings.ReplaceAll(name, " ", "-"))
	}
	for name, id := range ids { // a fetch can ask only for what refs lead to
		r.Git("update-ref", "refs/any/"+strings.NewReplacer(" ", "-", ",", "").Replace(name), id)
	}
	for _, before := range []string{"", first, ids["good README"]} {
		repo := New(Options{AllowLocal: true}).Repo(filepath.Join(t.TempDir(), "a mirror"))
		if err := repo.Init(t.Context(), len(first), ""); err != nil {
			t.Fatal(err)
		}
		if before != "" {
			if _, err := repo.Fetch(t.Context(), Remote{URL: r.Dir}, []string{before}, FetchMode{}, nil); err != nil {
				t.Fatal(err)
			}
			if err := repo.WriteRefs([]Ref{{Name: "refs/heads/main", ID: before}}); err != nil {
				t.Fatal(err)
			}
		}
		f, err := repo.Fetch(t.Context(), Remote{URL: r.Dir}, slices.Collect(maps.Values(ids)), FetchMode{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, id := range ids {
			why, refused := f.Refused[id]
			has := origin.Command("--git-dir="+repo.Dir, "rev-list", "--objects", id).Run() == nil
			if want := strings.HasPrefix(name, "bad"); refused != want || has == want {
				t.Errorf("%s: refused: %v (%s), present: %v", name, refused, why, has)
			}
		}
		if why := f.Refused[bad]; why != "object "+badTree+": hasDotgit: contains '.git'" {
			t.Errorf("the reason is %q", why)
		}
		if len(f.Warnings) != 1 || f.Warnings[0].ID != "nulInHeader" || f.Warnings[0].Count != 1 {
			t.Errorf("warnings: %v", f.Warnings)
		}
	}
}

// TestFatalMessages: git may refuse to make an id a warning.
func TestFatalMessages(t *testing.T) {
	t.Parallel()
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	id, odd := r.Commit("main", nil), r.Odd("unterminatedHeader")
	r.Git("update-ref", "refs/heads/odd", odd)
	g := New(Options{AllowLocal: true})
	clear(g.messages.fatal) // as if it were a newer git
	repo := g.Repo(filepath.Join(t.TempDir(), "m"))
	if err := repo.Init(t.Context(), 40, ""); err != nil {
		t.Fatal(err)
	}
	f, err := repo.Fetch(t.Context(), Remote{URL: r.Dir}, []string{id, odd}, FetchMode{}, nil)
	if err != nil || len(f.Refused) > 0 || len(f.Warnings) != 1 {
		t.Errorf("%+v, %v", f, err)
	}
	if !g.messages.isFatal("nulInHeader") || !g.messages.isFatal("unterminatedHeader") || g.messages.isFatal("badDate") {
		t.Errorf("recorded %v", g.messages.fatal)
	}
	if g.messages.recordFatal(errors.New("Cannot demote x to warn")) {
		t.Error("an id was recorded from an error that is not git's")
	}
}

// TestDamageAmongWarnings: a check finds what is missing among many objects with faults.
func TestDamageAmongWarnings(t *testing.T) {
	t.Parallel()
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	id := r.Commit("main", map[string]string{"f": "1"})
	gone := r.Git("rev-parse", id+":f")
	repo := New(Options{}).Repo(r.Dir)
	for i := range 300 { // their messages are longer than the text that is kept
		odd := r.Object("commit", fmt.Sprintf("tree %s\nauthor A <a@example.org> 1%d +0000\ncommitter A <a@example.org> x +0000\n\nm\n", r.Git("rev-parse", id+"^{tree}"), i))
		r.Git("update-ref", fmt.Sprint("refs/heads/odd", i), odd)
	}
	if damage, warnings, err := repo.Check(t.Context()); damage != nil || err != nil || len(warnings) != 1 || warnings[0].Count != 300 {
		t.Errorf("whole: %v, %v, %v", damage, warnings, err)
	}
	if err := os.Remove(filepath.Join(r.Dir, "objects", gone[:2], gone[2:])); err != nil {
		t.Fatal(err)
	}
	if damage, warnings, err := repo.Check(t.Context()); damage == nil || !strings.Contains(damage.Error(), gone) || err != nil || len(warnings) != 1 {
		t.Errorf("broken: %v, %v, %v", damage, warnings, err)
	}
}

// TestRefusedObjectsStayRefused also if they are in the repository already: git checks some
// objects only after it has installed them, and then the next fetch finds them there.
func TestRefusedObjectsStayRefused(t *testing.T) {
	t.Parallel()
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	first := r.Commit("main", map[string]string{"f": "1"})
	second := r.Commit("main", map[string]string{"f": "2"})
	bad := r.Odd("gitmodulesUrl")
	r.Git("update-ref", "refs/heads/bad", bad)
	repo := New(Options{AllowLocal: true}).Repo(filepath.Join(t.TempDir(), "m"))
	if err := repo.Init(t.Context(), 40, ""); err != nil {
		t.Fatal(err)
	}
	fetch := func(what string, ids ...string) {
		t.Helper()
		f, err := repo.Fetch(t.Context(), Remote{URL: r.Dir}, ids, FetchMode{}, nil)
		if err != nil || (f.Refused[bad] != "") != slices.Contains(ids, bad) || f.Refused[second] != "" {
			t.Errorf("%s: %v, %v", what, f, err)
		}
	}
	there := func(id string) bool {
		return origin.Command("--git-dir="+repo.Dir, "cat-file", "-e", id).Run() == nil
	}
	fetch("at first", bad, second)
	fetch("again", bad, second)
	fetch("alone", bad)
	if there(bad) || !there(second) {
		t.Errorf("the bad commit is there: %v, the good one: %v", there(bad), there(second))
	}
	if err := repo.WriteRefs([]Ref{{Name: "refs/heads/main", ID: second}}); err != nil {
		t.Fatal(err)
	}
	fetch("what a ref leads to", first)

	// As a killed git leaves it behind.
	r.Git("update-ref", "refs/heads/other", r.Commit("other", map[string]string{"f": "3"}))
	out, err := origin.Command("--git-dir="+repo.Dir, "-c", "transfer.fsckObjects=true", "-c", "fetch.unpackLimit=1", "fetch", "-q", r.Dir, bad, "other").CombinedOutput()
	if err == nil || !there(bad) {
		t.Skipf("this git leaves nothing: %v\n%s", err, out)
	}
	fetch("what was left", bad)
	fetch("what was left, and more", bad, r.Git("rev-parse", "other"))
	fetch("what was left, and more that is here", bad, first)
}

func TestParseFinding(t *testing.T) {
	id := strings.Repeat("12", 20)
	for line, want := range map[string]finding{
		"warning: object " + id + ": badDate: invalid":             {id, "badDate", "invalid", false},
		"error: object " + id + ": hasDotgit: contains '.git'":     {id, "hasDotgit", "contains '.git'", true},
		"error in tree " + id + ": nullSha1: contains: x":          {id, "nullSha1", "contains: x", true},
		"warning in commit " + id + " (HEAD~1): badEmail: bad":     {id, "badEmail", "bad", false},
		"error in blob " + id + id[:24] + ": gitmodulesUrl: -u":    {id + id[:24], "gitmodulesUrl", "-u", true},
		"error in tree " + id + ": broken links":                   {},
		"remote: error: object " + id + ": hasDotgit: x":           {},
		"error: object " + id[:39] + ": hasDotgit: x":              {},
		"error: refs/heads/.x: badRefName: invalid refname format": {},
		"fatal: fsck error in packed object":                       {},
	} {
		if got, ok := parseFinding(line); got != want || ok != (want != finding{}) {
			t.Errorf("parseFinding(%q) = %+v, %v", line, got, ok)
		}
	}
}

func TestIsDangerousPath(t *testing.T) {
	for name, want := range map[string]bool{
		"a/b": false, "a/.gitignore": false, ".github/x": false, "a/.gitmodules": false, "a/..b": false, "ü/ü": false,
		"../x": true, "a/../b": true, "/a": true, "a//b": true, "a/": true, "./a": true, "a/..": true, `a/b\..\c`: true,
		".git/config": true, "a/.GIT/hooks/x": true, "a/.git ": true, "a/.git.": true, "a/.git::$INDEX_ALLOCATION/x": true,
		"a/GIT~1/x": true, "a/.g\u200cit/x": true,
	} {
		if got := isDangerousPath(name); got != want {
			t.Errorf("isDangerousPath(%q) = %v", name, got)
		}
	}
}

func TestWarnings(t *testing.T) {
	a := Warnings{{"badDate", 2, "1"}, {"badName", 1, "2"}}
	got := a.Add(Warnings{{"badName", 3, "3"}, {"nullSha1", 1, "4"}})
	if want := (Warnings{{"badDate", 2, "1"}, {"badName", 4, "2"}, {"nullSha1", 1, "4"}}); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	many := tally{}
	for i := range 3 * maxWarnings {
		many.add(Warning{fmt.Sprintf("kind%03d", i), i, "1"})
	}
	if w := many.warnings(); len(w) != maxWarnings || w[0].ID != fmt.Sprintf("kind%03d", 2*maxWarnings) {
		t.Errorf("of many: %v", w)
	}
}

// TestTreeReader reads trees that come in pieces.
func TestTreeReader(t *testing.T) {
	id := strings.Repeat("ab", 20)
	body := origin.Entry("100644", "f\n", id) + origin.Entry("40000", "..", id)
	text := fmt.Sprintf("%s tree %d\n%s\n%s tree 0\n\n%s tree 3\nodd\n", id, len(body), body, id, id)
	for size := 1; size < len(text); size++ {
		var got []string
		r := &treeReader{each: func(tree, name, target string) { got = append(got, name+" "+tree[:2]+target[:2]) }}
		for rest := text; rest != ""; rest = rest[min(size, len(rest)):] {
			if _, err := r.Write([]byte(rest[:min(size, len(rest))])); err != nil {
				t.Fatal(err)
			}
		}
		if want := []string{"f\n abab", ".. abab"}; !slices.Equal(got, want) {
			t.Fatalf("in pieces of %d: %q", size, got)
		}
	}
	if _, err := (&treeReader{}).Write([]byte(id + " missing\n")); err == nil {
		t.Error("what is missing was read")
	}
}
