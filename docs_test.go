package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
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
		if err != nil {
			return err
		}
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
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
