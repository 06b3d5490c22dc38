package git

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSurvivors reads damaged refs.
func TestSurvivors(t *testing.T) {
	a, b := strings.Repeat("a", 40), strings.Repeat("b", 40)
	for _, c := range []struct {
		what, packed string
		loose        map[string]string
		want         string // name=first digit of the id
		whole        bool
	}{
		{"nothing", packedHeader + "\n", nil, "", true},
		{"all", packedHeader + "\n" + a + " refs/heads/x\n" + b + " refs/tags/t\n^" + a + "\n", nil, "refs/heads/x=a refs/tags/t=b", true},
		{"no file", "-", nil, "", false},
		{"no header", a + " refs/heads/x\n", nil, "refs/heads/x=a", false},
		{"zeros", strings.Repeat("\x00", 100), nil, "", false},
		{"garbage between", packedHeader + "\n" + a + " refs/heads/x\ngarbage\n" + b + " refs/heads/y\n", nil, "refs/heads/x=a refs/heads/y=b", false},
		{"a bad name", packedHeader + "\n" + a + " refs/heads/../x\n" + b + " HEAD\n", nil, "", false},
		{"no refs", packedHeader + "\n" + b + " heads/x\n", nil, "", false},
		{"cut off", packedHeader + "\n" + a + " refs/heads/x\n" + b + " refs/heads/y", nil, "refs/heads/x=a", false},
		{"loose ones count", packedHeader + "\n" + a + " refs/heads/x\n", map[string]string{"heads/x": b + "\n", "notes/n": a}, "refs/heads/x=b refs/notes/n=a", true},
		{"an empty one does not", packedHeader + "\n" + a + " refs/heads/x\n", map[string]string{"heads/x": ""}, "refs/heads/x=a", false},
	} {
		dir := t.TempDir()
		files := map[string]string{"packed-refs": c.packed}
		if c.packed == "-" {
			files = nil
		}
		if err := os.MkdirAll(filepath.Join(dir, "refs", "heads"), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range c.loose {
			files["refs/"+name] = text
		}
		for name, text := range files {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		refs, whole := Repo{Dir: dir}.Survivors()
		var got []string
		for _, ref := range refs {
			got = append(got, ref.Name+"="+ref.ID[:1])
			if branch := strings.HasPrefix(ref.Name, "refs/heads/"); branch != (ref.Peeled == ref.ID) || !branch && ref.Peeled != "" {
				t.Errorf("%s: %s leads to %q", c.what, ref.Name, ref.Peeled)
			}
		}
		if strings.Join(got, " ") != c.want || whole != c.whole || !slices.IsSorted(got) {
			t.Errorf("%s: %q, whole %v", c.what, got, whole)
		}
	}
}
