package origin

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Object writes an object of any form, which git would not make by itself, and returns its
// id.
func (r *Repo) Object(kind, content string) string {
	r.t.Helper()
	return r.GitIn(content, "hash-object", "-t", kind, "-w", "--stdin", "--literally")
}

// Entry is an entry of a tree, in git's form.
func Entry(mode, name, id string) string {
	raw, err := hex.DecodeString(id)
	if err != nil {
		panic(err)
	}
	return mode + " " + name + "\x00" + string(raw)
}

// CommitTree makes a commit of a tree and of these parents, on no branch.
func (r *Repo) CommitTree(tree string, parents ...string) string {
	r.t.Helper()
	args := []string{"commit-tree", "-m", "m"}
	for _, parent := range parents {
		args = append(args, "-p", parent)
	}
	return r.Git(append(args, tree)...)
}

// Odd makes one object, and what it needs, that git-fsck(1) has a message about, and
// returns the id of a commit or tag that leads to it. Odds lists what it can make.
func (r *Repo) Odd(message string) string {
	r.t.Helper()
	make, ok := odd[message]
	if !ok {
		r.t.Fatalf("no object is known for %s", message)
	}
	return make(r)
}

// Odds are the messages that Odd knows objects for: all that "git clone" takes. Where there
// is more than one object for a message, a number follows.
func Odds() []string { return slices.Sorted(maps.Keys(odd)) }

const (
	who    = "A <a@example.org> 1000000000 +0000"
	author = "author " + who + "\n"
)

var odd = map[string]func(*Repo) string{
	"badDate":                 committedBy("A <a@example.org> x +0000"),
	"badDateOverflow":         committedBy("A <a@example.org> 99999999999999999999999 +0000"),
	"badEmail":                committedBy("A <a@<example.org> 1000000000 +0000"),
	"badName":                 committedBy("A> <a@example.org> 1000000000 +0000"),
	"badTimezone":             committedBy("A <a@example.org> 1000000000 +051800"),
	"missingEmail":            committedBy("A 1000000000 +0000"),
	"missingNameBeforeEmail":  committedBy("<a@example.org> 1000000000 +0000"),
	"missingSpaceBeforeDate":  committedBy("A <a@example.org>1000000000 +0000"),
	"missingSpaceBeforeEmail": committedBy("A<a@example.org> 1000000000 +0000"),
	"zeroPaddedDate":          committedBy("A <a@example.org> 01000000000 +0000"),
	"missingAuthor":           headed("committer " + who + "\n\nm\n"),
	"missingCommitter":        headed(author + "\nm\n"),
	"multipleAuthors":         headed(author + author + "committer " + who + "\n\nm\n"),
	"nulInCommit":             headed(author + "committer " + who + "\n\nm\x00m\n"),
	"nulInHeader":             headed("author A\x00 <a@example.org> 1000000000 +0000\ncommitter " + who + "\n\nm\n"),
	"unterminatedHeader":      headed(author + "committer " + who),

	"badTagName":         tagged("tag bad..name\ntagger " + who + "\n\nm\n"),
	"extraHeaderEntry":   tagged("tag x\ntagger " + who + "\nmore words\n\nm\n"),
	"missingTaggerEntry": tagged("tag x\n\nm\n"),
	"nulInHeader2":       tagged("tag x\ntagger A\x00 <a@example.org> 1000000000 +0000\n\nm\n"),

	"badFilemode":          tree("100664", "f"),
	"badFilemode2":         tree("100600", "f"),
	"zeroPaddedFilemode":   tree("0100644", "f"),
	"duplicateEntries":     tree("100644", "f", "100644", "f"),
	"treeNotSorted":        tree("100644", "g", "100644", "f"),
	"fullPathname":         tree("100644", "dir/.gitignore"),
	"fullPathname2":        tree("100644", "dir/../../f"),
	"fullPathname3":        tree("100644", "/etc/f"),
	"fullPathname4":        tree("100644", "dir/.GIT/config"),
	"fullPathname5":        tree("100644", `dir/x\..\f`),
	"gitattributesSymlink": tree("120000", ".gitattributes"),
	"gitignoreSymlink":     tree("120000", ".gitignore"),
	"mailmapSymlink":       tree("120000", ".mailmap"),
	"gitmodulesSymlink":    tree("120000", ".gitmodules"),
	"gitattributesBlob":    tree("40000", ".gitattributes"),
	"gitmodulesBlob":       tree("40000", ".gitmodules"),
	"hasDot":               tree("40000", "."),
	"hasDotdot":            tree("40000", ".."),
	"hasDotgit":            tree("40000", ".git"),
	"hasDotgit2":           tree("100644", "GIT~1"),
	"nullSha1": func(r *Repo) string {
		return r.CommitTree(r.Object("tree", Entry("160000", "f", strings.Repeat("0", 40))))
	},

	"gitattributesLarge":      file(".gitattributes", strings.Repeat("a text\n", 15<<20)),
	"gitattributesLineLength": file(".gitattributes", strings.Repeat("a ", 2000)+"\n"),
	"gitmodulesName":          file(".gitmodules", "[submodule \"../../x\"]\n\tpath = x\n\turl = http://h/x\n"),
	"gitmodulesParse":         file(".gitmodules", "[submodule \"x\n\tpath\n"),
	"gitmodulesPath":          file(".gitmodules", "[submodule \"x\"]\n\tpath = -x\n\turl = http://h/x\n"),
	"gitmodulesUpdate":        file(".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = http://h/x\n\tupdate = !id\n"),
	"gitmodulesUrl":           file(".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = -uid\n"),
}

// tree makes a commit of a tree with these modes and names, of something different each
// time.
func tree(modesAndNames ...string) func(*Repo) string {
	return func(r *Repo) string {
		r.t.Helper()
		var content strings.Builder
		for i := 0; i < len(modesAndNames); i += 2 {
			mode, name := modesAndNames[i], modesAndNames[i+1]
			target := r.Object("blob", fmt.Sprint("below ", modesAndNames, i))
			if mode == "40000" {
				target = r.Object("tree", Entry("100644", "f", target))
			}
			content.WriteString(Entry(mode, name, target))
		}
		return r.CommitTree(r.Object("tree", content.String()))
	}
}

// file makes a commit of a tree with one file.
func file(name, content string) func(*Repo) string {
	return func(r *Repo) string {
		r.t.Helper()
		return r.CommitTree(r.Object("tree", Entry("100644", name, r.Object("blob", content))))
	}
}

// headed makes a commit of a usual tree, with these bytes behind the line that names it.
func headed(rest string) func(*Repo) string {
	return func(r *Repo) string {
		r.t.Helper()
		return r.Object("commit", "tree "+r.Object("tree", Entry("100644", "f", r.Object("blob", "f")))+"\n"+rest)
	}
}

func committedBy(committer string) func(*Repo) string {
	return headed(author + "committer " + committer + "\n\nm\n")
}

// tagged makes a tag of a usual commit, with these bytes behind the lines that name it.
func tagged(rest string) func(*Repo) string {
	return func(r *Repo) string {
		r.t.Helper()
		return r.Object("tag", "object "+committedBy(who)(r)+"\ntype commit\n"+rest)
	}
}
