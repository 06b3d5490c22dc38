// Package cmdline reads sould's command line. Who writes one that there is not reads first what is wrong with
// it, and then how it is used.
package cmdline

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/docopt/docopt-go"
)

// usage is the text by which docopt reads a command line. The man page and the completions are made of it.
const usage = `sould keeps mirrors of git repositories and serves them as tarballs and clones.

Usage:
  sould [-c <config>] [--unsecure | --insecure]
  sould --check [--discover] [-c <config>] [--unsecure | --insecure]
  sould --help | --version

Options:
  -c <config>   Configuration file. Without it: /etc/sould.conf if that exists,
                else built-in defaults.
  --unsecure    Allow origins that are local paths. For tests and for one machine.
  --insecure    The same.
  --check       Read the configuration, print the settings in force, and exit.
  --discover    With --check: ask the forges of [[discover]], and print what would be mirrored.
  -h --help     Print this.
  --version     Print the version.
`

// Options are what a command line says.
type Options struct {
	Config                             string // a file; empty for the default
	Unsecure, Check, Discover, Version bool
}

// ErrHelp is why there are no options: somebody has asked how they are used.
var ErrHelp = errors.New("help was asked for")

// ErrUsage is why there are no options: the command line is none.
var ErrUsage = errors.New("wrong usage")

// Parse reads the arguments of a command line. If the error is ErrHelp, the usage was written to stdout; if it is
// ErrUsage, what is wrong was written to stderr.
func Parse(args []string, stdout, stderr io.Writer) (Options, error) {
	var shown, misused bool
	parser := docopt.Parser{HelpHandler: func(err error, text string) {
		if shown, misused = true, err != nil; misused {
			if what := misuse(args); what != "" {
				fmt.Fprintf(stderr, "sould: %s\n\n", what)
				text = text[max(strings.Index(text, "Usage:"), 0):] // the parser's own words stand before it
			}
			fmt.Fprintln(stderr, text)
		} else {
			fmt.Fprintln(stdout, strings.TrimRight(text, "\n"))
		}
	}}
	options, err := parser.ParseArgs(usage, args, "")
	switch {
	case misused || err != nil && !shown:
		return Options{}, ErrUsage
	case shown:
		return Options{}, ErrHelp
	}
	var o struct {
		Config                                       string `docopt:"-c"`
		Unsecure, Insecure, Check, Discover, Version bool
	}
	if err := options.Bind(&o); err != nil {
		fmt.Fprintln(stderr, err)
		return Options{}, ErrUsage
	}
	return Options{o.Config, o.Unsecure || o.Insecure, o.Check, o.Discover, o.Version}, nil
}

// misuse says what is wrong with a command line that is none of those in usage. "" means that it
// does not know.
func misuse(args []string) string {
	seen := make(map[string]bool)
	for i := 0; i < len(args); i++ {
		arg := args[i]
		option := arg
		switch {
		case arg == "-c":
			if i++; i == len(args) {
				return "-c needs the name of a configuration file after it"
			}
		case strings.HasPrefix(arg, "-c"):
			option = "-c"
		case arg == "--check", arg == "--discover", arg == "--unsecure", arg == "--insecure":
		case arg == "-h", arg == "--help", arg == "--version":
			if len(args) > 1 {
				return arg + " stands alone"
			}
			return ""
		case hasValue(arg):
			return strings.SplitN(arg, "=", 2)[0] + " takes no value"
		case strings.HasPrefix(arg, "-") && arg != "-":
			return fmt.Sprintf("there is no option %q", arg)
		default:
			return fmt.Sprintf("%q is neither an option nor the value of one; a configuration file is named with -c", arg)
		}
		if seen[option] {
			return option + " is given twice"
		}
		seen[option] = true
	}
	if seen["--discover"] && !seen["--check"] {
		return "--discover goes with --check"
	}
	if seen["--unsecure"] && seen["--insecure"] {
		return "--unsecure and --insecure mean the same: give one of them"
	}
	return ""
}

// hasValue reports whether an argument gives a value to an option that takes none.
func hasValue(arg string) bool {
	option, _, ok := strings.Cut(arg, "=")
	return ok && slices.Contains([]string{"--check", "--discover", "--unsecure", "--insecure", "--help", "--version"}, option)
}
