// Sould keeps mirrors of git repositories, so that their content stays available
// as tarballs and clones while the place they came from is down.
//
// This package is the part that speaks HTTP, and knows the whole configuration. main.go does what the command
// line says, config.go reads the configuration, signals.go answers signals, and server.go starts, reloads and
// closes. routes.go finds the handler of a request: handler_pull.go answers POST, handler_delete.go DELETE,
// handler_tar.go GET, handler_git.go git clients, and handler_hook.go forges; handler_status.go,
// handler_insight.go, handler_manifest.go and handler_monitoring.go tell what is known. errors.go says what a
// client is told that gets none of that.
//
// mirror.go connects them with the packages below internal/, which do the work, and propagate.go has the
// slaves do what is done here. ARCHITECTURE.md shows the whole.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/docopt/docopt-go"

	"github.com/reconquest/sould/internal/discover"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/logging"
	"github.com/reconquest/sould/internal/process"
)

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

// Exit statuses.
const (
	exitFine   = 0
	exitFailed = 1 // cannot start or run
	exitUsage  = 2 // wrong usage
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
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
		return exitUsage
	case shown:
		return exitFine
	}
	var o struct {
		Config                                       string `docopt:"-c"`
		Unsecure, Insecure, Check, Discover, Version bool
	}
	if err := options.Bind(&o); err != nil {
		fmt.Fprintln(stderr, err)
		return exitUsage
	}
	switch {
	case o.Version:
		_, err = io.WriteString(stdout, versions())
	case o.Discover:
		err = checkDiscovery(o.Config, o.Unsecure || o.Insecure, stdout)
	case o.Check:
		err = check(o.Config, stdout)
	default:
		err = serve(o.Config, o.Unsecure || o.Insecure, stderr)
	}
	if err != nil {
		logging.Fatal(stderr, err)
		return exitFailed
	}
	return exitFine
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

// check prints the settings in force.
func check(configFile string, stdout io.Writer) error {
	config, source, err := LoadConfig(configFile, checkStart)
	if err != nil {
		return err
	}
	if _, err := checkGit(context.Background()); err != nil {
		return err
	}
	text := fmt.Sprintf("# settings in force, from %s\n", config.Sources(source))
	for _, warning := range config.Warnings(source) {
		text += "# warning: " + warning + "\n"
	}
	_, err = io.WriteString(stdout, text+config.ShowWithSources())
	return err
}

// checkDiscovery prints what the forges have that would be mirrored.
func checkDiscovery(configFile string, unsecure bool, stdout io.Writer) error {
	config, source, err := LoadConfig(configFile)
	if err != nil {
		return err
	}
	if len(config.Discover) == 0 {
		return fmt.Errorf("%s has no [[discover]]", source)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	set := settings{Config: config, unsecure: unsecure}
	return discover.Preview(ctx, set.discoverOptions(), stdout)
}

// serve runs the server until a signal ends it.
func serve(configFile string, unsecure bool, stderr io.Writer) error {
	signals := process.NotifySignals()
	defer signals.Stop()
	process.OutliveLogs()
	starting, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	process.ReserveThreads()
	server, err := Start(starting, configFile, unsecure, logging.New(stderr))
	if errors.Is(err, context.Canceled) && starting.Err() != nil {
		return nil
	}
	if err != nil && strings.Contains(err.Error(), "\n") { // each mistake has a line of its own
		return fmt.Errorf("can't start:\n%w", err)
	}
	if err != nil {
		return fmt.Errorf("can't start: %w", err)
	}
	return server.Run(signals)
}

// release is the version of a package, which packaging/build sets by the tag.
var release string

// version is that of the package, else the module's where the build knows it, else the commit.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	return cmp.Or(buildSetting("vcs.revision"), "devel")
}

// buildSetting is what the build knows of a setting (runtime/debug), or empty.
func buildSetting(key string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == key {
				return s.Value
			}
		}
	}
	return ""
}

// versions are those of sould and of what it is made of and works with, a line each.
func versions() string {
	commit := cmp.Or(buildSetting("vcs.revision"), "unknown")
	if at := buildSetting("vcs.time"); at != "" {
		commit += " of " + at
	}
	if buildSetting("vcs.modified") == "true" {
		commit += ", and changes"
	}
	gitVersion, err := git.New(git.Options{}).Version(context.Background())
	if err != nil {
		gitVersion = "cannot be used: " + err.Error()
	}
	return fmt.Sprintf("sould %s\ncommit %s\ngo %s %s/%s\ngit %s\n",
		version(), commit, strings.TrimPrefix(runtime.Version(), "go"), runtime.GOOS, runtime.GOARCH, gitVersion)
}

// checkGit checks that there is a git that is new enough.
func checkGit(ctx context.Context) (version string, err error) {
	version, err = git.New(git.Options{}).Version(ctx)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("sould needs git, which cannot be used: %w", err)
	}
	return version, err
}
