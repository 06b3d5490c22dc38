// Sould keeps mirrors of git repositories, so that their content stays available
// as tarballs and clones while the place they came from is down.
//
// This package is the part that speaks HTTP, and knows the whole configuration. main.go does what the command
// line says, config.go reads the configuration, signals.go answers signals, and server.go starts,
// reloads and closes. routes.go finds the handler of a request: handler_pull.go answers
// POST, handler_tar.go GET, handler_git.go git clients; handler_status.go, handler_insight.go and
// handler_monitoring.go tell what is known.
// mirror.go connects them with the packages below internal/, which do the work, and command.go begins what
// nobody has sent a request for. ARCHITECTURE.md shows the whole.
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
	"strings"
	"syscall"

	"github.com/reconquest/sould/internal/cmdline"
	"github.com/reconquest/sould/internal/discover"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/logging"
	"github.com/reconquest/sould/internal/process"
)

// Exit statuses.
const (
	exitFine   = 0
	exitFailed = 1 // cannot start or run
	exitUsage  = 2 // wrong usage
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	o, err := cmdline.Parse(args, stdout, stderr)
	switch {
	case errors.Is(err, cmdline.ErrHelp):
		return exitFine
	case err != nil: // which it has told
		return exitUsage
	}
	switch {
	case o.Version:
		_, err = io.WriteString(stdout, versions())
	case o.Discover:
		err = checkDiscovery(o.Config, o.Unsecure, stdout)
	case o.Check:
		err = check(o.Config, stdout)
	default:
		err = serve(o.Config, o.Unsecure, stderr)
	}
	if err != nil {
		logging.Fatal(stderr, err)
		return exitFailed
	}
	return exitFine
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
