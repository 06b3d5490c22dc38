package mirror

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestOnlyTheHolderWrites: Mirror.disk is used only by held, and by the code that makes a mirror
// before anybody else knows it.
func TestOnlyTheHolderWrites(t *testing.T) {
	allowed := map[string]bool{"held.go": true, "mirror.go": true, "build.go": true}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "disk" {
				seen++
				if !allowed[file] {
					t.Errorf("%s uses Mirror.disk, which is for the holder of the mirror's lock", file)
				}
			}
			return true
		})
	}
	if seen == 0 {
		t.Error("nobody uses Mirror.disk: the test looks for the wrong name")
	}
}
