// Pages makes the man pages and the completions of shells from what is there already: the usage text
// of the program, and sould.conf.example.
//
//	go run ./pages <the project's directory> <directory for the pages> <version> <date>
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: pages <the project's directory> <directory for the pages> <version> <date>")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(project, to, version, date string) error {
	text, err := usageText(project)
	if err != nil {
		return err
	}
	u, err := parseUsage(text)
	if err != nil {
		return err
	}
	example, err := os.ReadFile(filepath.Join(project, "sould.conf.example"))
	if err != nil {
		return err
	}
	for name, page := range map[string]string{
		"sould.1":      programPage(u, version, date),
		"sould.conf.5": configPage(string(example), version, date),
		"sould.bash":   bashCompletion(u),
		"_sould":       zshCompletion(u),
		"sould.fish":   fishCompletion(u),
	} {
		if err := os.WriteFile(filepath.Join(to, name), []byte(page), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// usageText is the constant usage of package main.
func usageText(project string) (string, error) {
	files, err := filepath.Glob(filepath.Join(project, "*.go"))
	if err != nil {
		return "", err
	}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return "", err
		}
		for _, decl := range file.Decls {
			if text, ok := constant(decl, "usage"); ok {
				return text, nil
			}
		}
	}
	return "", fmt.Errorf("no constant usage in %s/*.go", project)
}

// constant is the value of a constant string, if the declaration has it.
func constant(decl ast.Decl, name string) (string, bool) {
	general, ok := decl.(*ast.GenDecl)
	if !ok || general.Tok != token.CONST {
		return "", false
	}
	for _, spec := range general.Specs {
		value, ok := spec.(*ast.ValueSpec)
		if !ok || value.Names[0].Name != name || len(value.Values) != 1 {
			continue
		}
		if literal, ok := value.Values[0].(*ast.BasicLit); ok {
			text, err := strconv.Unquote(literal.Value)
			return text, err == nil
		}
	}
	return "", false
}

// usage is what the usage text says.
type usage struct {
	about    string   // the first paragraph
	synopsis []string // a line each
	commands []string // words that may follow the program's name
	options  []option
}

// option is a row of the usage text's options.
type option struct {
	names    []string // such as -c and --config
	argument string   // such as <config>; empty for none
	about    string
}

// parseUsage reads a usage text in the form of docopt.
func parseUsage(text string) (u usage, err error) {
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		words := strings.TrimSpace(line)
		indented := strings.HasPrefix(line, "  ")
		switch {
		case words == "":
		case !indented && strings.HasSuffix(words, ":"):
			section = words
		case section == "":
			u.about = strings.TrimSpace(u.about + " " + words)
		case section == "Usage:":
			u.synopsis = append(u.synopsis, words)
			if fields := strings.Fields(words); len(fields) > 1 && strings.Trim(fields[1], "abcdefghijklmnopqrstuvwxyz-") == "" && fields[1][0] != '-' {
				u.commands = append(u.commands, fields[1])
			}
		case section == "Options:" && words[0] == '-':
			u.options = append(u.options, parseOption(words))
		case section == "Options:" && len(u.options) > 0:
			last := &u.options[len(u.options)-1]
			last.about = strings.TrimSpace(last.about + " " + words)
		default:
			return u, fmt.Errorf("the usage text has a line that is not understood: %q", line)
		}
	}
	if len(u.synopsis) == 0 || len(u.options) == 0 {
		return u, fmt.Errorf("the usage text has no synopsis or no options")
	}
	return u, nil
}

// parseOption reads the first line of an option: its names, and what it is about after two spaces.
func parseOption(words string) (o option) {
	names, about, _ := strings.Cut(words, "  ")
	o.about = strings.TrimSpace(about)
	for _, word := range strings.FieldsFunc(names, func(r rune) bool { return r == ' ' || r == ',' || r == '=' }) {
		if word[0] == '-' {
			o.names = append(o.names, word)
		} else {
			o.argument = word
		}
	}
	return o
}

// namesFile reports whether an option's argument is the name of a file.
func (o option) namesFile() bool {
	return strings.Contains("<config> <file> <path> <directory>", o.argument) && o.argument != ""
}
