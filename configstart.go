package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/reconquest/sould/internal/git"
)

// startCheck looks for what would keep a server with a configuration from starting, and changes
// nothing.
type startCheck func(c *Config, report func(key string, err error))

// checkStart is the check of --check and of a start. A reload does without: whoever reloads has
// started.
func checkStart(c *Config, report func(key string, err error)) {
	if c.Storage != "" {
		if err := checkStorage(c.Storage); err != nil {
			report("storage", err)
		}
	}
	if checkListen(c.Listen) == nil { // else that was reported
		if err := checkResolvable(c.Listen); err != nil {
			report("listen", err)
		}
	}
}

// checkStorage checks that a directory can be written, or be made.
func checkStorage(dir string) error {
	there := dir
	info, err := os.Stat(there)
	for errors.Is(err, fs.ErrNotExist) && there != filepath.Dir(there) {
		there = filepath.Dir(there)
		info, err = os.Stat(there)
	}
	switch {
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("something above %s is a file, and no directory can be in it", dir)
	case err != nil:
		return err
	case !info.IsDir() && there == dir:
		return fmt.Errorf("%s is a file: write the name of a directory", dir)
	case !info.IsDir():
		return fmt.Errorf("%s is a file: %s cannot be a directory in it", there, dir)
	}
	const readWriteEnter = 7 // access(2)
	if err := syscall.Access(there, readWriteEnter); err != nil {
		return fmt.Errorf("%s cannot be written by this user (%w): change its owner, or name another directory", there, err)
	}
	return nil
}

// lookupTime is how long the name in an address to listen on is looked up.
const lookupTime = 5 * time.Second

// checkResolvable checks that the host of an address, if it is a name, has an address.
func checkResolvable(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
	defer cancel()
	if _, err := net.DefaultResolver.LookupHost(ctx, host); err != nil {
		return fmt.Errorf("the name %q has no address: write an IP address of this machine, or none (\":80\")", host)
	}
	return nil
}

// isForeignAddress reports whether an address to listen on is an IP address that this machine does
// not have now. It may get it later, or be permitted to listen on it all the same (ip(7),
// ip_nonlocal_bind).
func isForeignAddress(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.IsUnspecified() || ip.IsLoopback() {
		return false
	}
	own, err := net.InterfaceAddrs()
	return err == nil && !slices.ContainsFunc(own, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr() == ip.WithZone("").Unmap()
	})
}

// checkGit checks that there is a git that is new enough.
func checkGit(ctx context.Context) (version string, err error) {
	version, err = git.New(git.Options{}).Version(ctx)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("sould needs git, which cannot be used: %w", err)
	}
	return version, err
}
