package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestBoundsAreDocumented keeps BOUNDS.md whole: every bound of the program stands there by
// the name of its constant, and no name stands there that is none any more.
func TestBoundsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("BOUNDS.md")
	if err != nil {
		t.Fatal(err)
	}
	named := make(map[string]bool) // in the last column of a table
	word := regexp.MustCompile("`([a-zA-Z_]+)`")
	for row := range strings.Lines(string(text)) {
		if cells := strings.Split(row, "|"); len(cells) == 6 {
			for _, match := range word.FindAllStringSubmatch(cells[4], -1) {
				named[match[1]] = true
			}
		}
	}
	declared := packageNames(t)
	bound := regexp.MustCompile(`^(max|most)[A-Z]|(Limit|Timeout|Time)$`)
	for name, place := range declared {
		if place.constant && bound.MatchString(name) && !named[name] {
			t.Errorf("%s: the bound %s has no row in BOUNDS.md", place.file, name)
		}
	}
	for _, key := range configKeys {
		declared[key.Name] = declaration{}
		if strings.HasPrefix(key.Name, "max_") && !named[key.Name] {
			t.Errorf("the key %s has no row in BOUNDS.md", key.Name)
		}
	}
	for name := range named {
		if _, known := declared[name]; !known {
			t.Errorf("BOUNDS.md names %s, which is neither a key nor declared in the program", name)
		}
	}
}

// declaration is where a name of a package stands in the program.
type declaration struct {
	file     string
	constant bool // or a variable; else a function or a type
}

// packageNames are all names that the packages of the program declare, methods included.
func packageNames(t *testing.T) map[string]declaration {
	names := make(map[string]declaration)
	note := func(name, file string, constant bool) { // two packages may have the same one
		names[name] = declaration{file, constant || names[name].constant}
	}
	walkProgram(t, func(path string, file *ast.File) {
		for _, decl := range file.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				note(decl.Name.Name, path, false)
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						note(spec.Name.Name, path, false)
					case *ast.ValueSpec:
						for _, name := range spec.Names {
							note(name.Name, path, true)
						}
					}
				}
			}
		}
	})
	return names
}

// TestErrorsAreExplained keeps docs/when-something-goes-wrong.md whole: every message of the level
// ERROR has a row there, and no row is about a message that is none any more.
func TestErrorsAreExplained(t *testing.T) {
	text, err := os.ReadFile("docs/when-something-goes-wrong.md")
	if err != nil {
		t.Fatal(err)
	}
	_, tables, _ := strings.Cut(string(text), "\n## What the log says\n")
	tables, _, _ = strings.Cut(tables, "\n## ")
	explained := make(map[string]bool)
	for _, row := range regexp.MustCompile("(?m)^\\| `(.+?)` \\| .+ \\| .+ \\|$").FindAllStringSubmatch(tables, -1) {
		explained[row[1]] = true
	}
	logged := make(map[string]bool)
	walkProgram(t, func(path string, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			message, place := errorMessage(n)
			if place == nil {
				return true
			}
			words, err := strconv.Unquote(message)
			switch {
			case err != nil:
				t.Errorf("%s, byte %d: the message of an error must be a constant where it is logged, so that it can be explained", path, place.Pos())
			case !explained[words]:
				t.Errorf("%s: %q is logged as an error, and docs/when-something-goes-wrong.md does not explain it", path, words)
			}
			logged[words] = true
			return true
		})
	})
	for words := range explained {
		if !logged[words] {
			t.Errorf("docs/when-something-goes-wrong.md explains %q, which nothing logs as an error", words)
		}
	}
}

// errorMessage returns the message that a call logs at the level ERROR, as it stands in the source:
// in quotes, if it is a constant there. place is nil for all that is no such call.
func errorMessage(n ast.Node) (message string, place ast.Node) {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return "", nil
	}
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", nil
	}
	receiver, _ := method.X.(*ast.Ident)
	at := -1
	switch method.Sel.Name {
	case "Error": // that of an error has no argument
		at = 0
	case "ErrorContext":
		at = 1
	case "Log", "LogAttrs": // of any level
		at = 2
	}
	if at < 0 || at >= len(call.Args) || receiver != nil && receiver.Name == "http" {
		return "", nil
	}
	if literal, ok := call.Args[at].(*ast.BasicLit); ok && literal.Kind == token.STRING {
		message = literal.Value
	}
	return message, call
}

// walkProgram calls visit for each file of the program.
func walkProgram(t *testing.T, visit func(path string, file *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (path == "tests" || path == "bench" || path == "packaging" || len(path) > 1 && path[0] == '.') {
			return fs.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err == nil {
			visit(path, file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestLinks follows the links between the pages: the file must be there, and the heading in it.
func TestLinks(t *testing.T) {
	pages := []string{"README.md", "SECURITY.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "BOUNDS.md"}
	more, err := filepath.Glob("docs/*.md")
	if err != nil || len(more) == 0 {
		t.Fatal(more, err)
	}
	link := regexp.MustCompile(`\]\(([^)#:]*)(#[^)]*)?\)`)
	for _, page := range append(pages, more...) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range link.FindAllStringSubmatch(string(text), -1) {
			target := page
			if found[1] != "" {
				target = filepath.Join(filepath.Dir(page), found[1])
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", page, found[1], err)
			} else if found[2] != "" && !headings(t, target)[found[2]] {
				t.Errorf("%s links to %s%s, and there is no such heading", page, found[1], found[2])
			}
		}
	}
}

// headings are what links call the headings of a page.
func headings(t *testing.T, page string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]bool)
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(text), -1) {
		words := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		all["#"+strings.ReplaceAll(words, " ", "-")] = true
	}
	return all
}
