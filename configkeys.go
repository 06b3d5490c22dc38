package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/credential"
	"github.com/reconquest/sould/internal/discover"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/logging"
	"github.com/reconquest/sould/internal/notify"
	"github.com/reconquest/sould/internal/ondemand"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/tomlkeys"
	"github.com/reconquest/sould/internal/webhook"
)

// maxMetricsMirrors is the largest value of metrics_mirrors.
const maxMetricsMirrors = 10_000

// configKeys are all keys of the file.
var configKeys = tomlkeys.Keys[Config]{
	tomlkeys.String("listen", func(c *Config) *string { return &c.Listen }, checkListen),
	tomlkeys.String("storage", func(c *Config) *string { return &c.Storage }, checkStorage),
	tomlkeys.Bool("master", func(c *Config) *bool { return &c.Master }),
	tomlkeys.List("slaves", func(c *Config) *[]protocol.Address { return &c.Slaves }, protocol.ParseAddress, nil),
	tomlkeys.List("peers", func(c *Config) *[]protocol.Address { return &c.Peers }, protocol.ParseAddress, nil),
	tomlkeys.Duration("repair", func(c *Config) *time.Duration { return &c.Repair }, 0),
	tomlkeys.Duration("timeout", func(c *Config) *time.Duration { return &c.Timeout }, time.Millisecond),
	tomlkeys.Duration("fetch_timeout", func(c *Config) *time.Duration { return &c.FetchTimeout }, time.Millisecond),
	tomlkeys.Duration("list_timeout", func(c *Config) *time.Duration { return &c.ListTimeout }, time.Millisecond),
	tomlkeys.Duration("patience", func(c *Config) *time.Duration { return &c.Patience }, 0),
	tomlkeys.Duration("retry", func(c *Config) *time.Duration { return &c.Retry }, 0),
	tomlkeys.Int("max_fetches", func(c *Config) *int { return &c.MaxFetches }, 1, 1000),
	tomlkeys.Duration("poll", func(c *Config) *time.Duration { return &c.Poll }, 0),
	tomlkeys.Duration("first_patience", func(c *Config) *time.Duration { return &c.FirstPatience }, 0),
	tomlkeys.Bool("deny_private", func(c *Config) *bool { return &c.DenyPrivate }),
	tomlkeys.Int("max_polls", func(c *Config) *int { return &c.MaxPolls }, 1, 1000),
	tomlkeys.List("refs", func(c *Config) *[]refs.Pattern { return &c.Refs }, refs.ParsePattern, checkRefs),
	tomlkeys.Size("cache_size", func(c *Config) *int64 { return &c.CacheSize }),
	tomlkeys.Int("max_archives", func(c *Config) *int { return &c.MaxArchives }, 1, 1000),
	tomlkeys.Size("archive_limit", func(c *Config) *int64 { return &c.ArchiveLimit }),
	tomlkeys.Duration("archive_timeout", func(c *Config) *time.Duration { return &c.ArchiveTimeout }, time.Millisecond),
	tomlkeys.Bool("export_subst", func(c *Config) *bool { return &c.ExportSubst }),
	tomlkeys.Int("max_clones", func(c *Config) *int { return &c.MaxClones }, 1, 1000),
	tomlkeys.Size("bundle_from", func(c *Config) *int64 { return &c.BundleFrom }),
	tomlkeys.String("ssh_command", func(c *Config) *string { return &c.SSHCommand }, checkNotEmpty),
	tomlkeys.String("ca_file", func(c *Config) *string { return &c.CAFile }, checkReadable),
	tomlkeys.Map("credential_command", func(c *Config) *map[string]string { return &c.CredentialCommand }, checkCredentialCommand),
	secretKey("token", func(c *Config) *access.Secret { return &c.Token }, func(c *Config) *string { return &c.TokenFile }),
	tomlkeys.String("token_file", func(c *Config) *string { return &c.TokenFile }, nil),
	secretKey("read_token", func(c *Config) *access.Secret { return &c.ReadToken }, func(c *Config) *string { return &c.ReadTokenFile }),
	tomlkeys.String("read_token_file", func(c *Config) *string { return &c.ReadTokenFile }, nil),
	tomlkeys.List("origins", func(c *Config) *[]origin.Pattern { return &c.Origins }, origin.ParsePattern, nil),
	tomlkeys.List("allow_hosts", func(c *Config) *[]access.Host { return &c.AllowHosts }, access.ParseHost, nil),
	tomlkeys.Words("public_url", func(c *Config, s string) (err error) {
		c.PublicURL, err = access.ParseBaseURL(s)
		return err
	}, func(c *Config) string { return c.PublicURL }),
	tomlkeys.String("tls_cert", func(c *Config) *string { return &c.TLSCert }, access.CheckPath),
	tomlkeys.String("tls_key", func(c *Config) *string { return &c.TLSKey }, access.CheckPath),
	tomlkeys.String("tls_ca", func(c *Config) *string { return &c.TLSCA }, nil),
	tomlkeys.Duration("keep", func(c *Config) *time.Duration { return &c.Keep }, 0),
	tomlkeys.Bool("maintenance", func(c *Config) *bool { return &c.Maintenance }),
	tomlkeys.Duration("check", func(c *Config) *time.Duration { return &c.Check }, 0),
	tomlkeys.Words("fsck", func(c *Config, s string) (err error) {
		c.Fsck, err = git.ParseFsck(s)
		return err
	}, func(c *Config) string { return string(c.Fsck) }),
	tomlkeys.Words("log_format", func(c *Config, s string) (err error) {
		c.LogFormat, err = logging.ParseFormat(s)
		return err
	}, func(c *Config) string { return string(c.LogFormat) }),
	tomlkeys.Words("log_level", func(c *Config, s string) (err error) {
		c.LogLevel, err = logging.ParseLevel(s)
		return err
	}, func(c *Config) string { return logging.LevelName(c.LogLevel) }),
	tomlkeys.List("notify", func(c *Config) *[]notify.Target { return &c.Notify }, notify.ParseTarget, notify.CheckTargets),
	tomlkeys.String("notify_secret_file", func(c *Config) *string { return &c.NotifySecretFile }, nil),
	tomlkeys.Int("metrics_mirrors", func(c *Config) *int { return &c.MetricsMirrors }, 0, maxMetricsMirrors),
	tomlkeys.Tables("ondemand", func(c *Config) *[]ondemand.Rule { return &c.OnDemand }, ondemand.NewRule, ondemand.Keys, ondemand.Rule.Check),
	tomlkeys.Tables("hook", func(c *Config) *[]webhook.Hook { return &c.Hooks }, webhook.NewHook, webhook.Keys, webhook.Hook.Check),
	tomlkeys.Tables("discover", func(c *Config) *[]discover.Table { return &c.Discover }, discover.NewTable, discover.Keys, discover.Table.Check),
}

func checkNotEmpty(s string) error {
	if s == "" {
		return errors.New("must not be empty")
	}
	return nil
}

func checkStorage(path string) error {
	return cmp.Or(checkNotEmpty(path), access.CheckPath(path))
}

func checkRefs(patterns []refs.Pattern) error {
	if len(patterns) == 0 {
		return errors.New("must not be empty, or mirrors would be: leave the key out for branches and tags")
	}
	return nil
}

func checkReadable(path string) error {
	if path == "" {
		return nil
	}
	if err := access.CheckPath(path); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a directory: write the name of a file with certificates (PEM)", path)
	}
	return nil
}

func checkCredentialCommand(server, command string) error {
	if err := credential.CheckCommand(server, command); err != nil {
		return err
	}
	return git.CheckCredentialCommand(command)
}

func checkListen(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q is not an address: write host:port, or :port for all addresses of this machine", s)
	}
	if _, err := net.LookupPort("tcp", port); err != nil || port == "" {
		return fmt.Errorf("%q has no valid port: write a number from 0 to 65535 after the last colon", s)
	}
	isNumeric := strings.ContainsRune(host, ':') || strings.Trim(host, "0123456789.") == ""
	if _, err := netip.ParseAddr(host); err != nil && host != "" && (isNumeric || !origin.IsHost(strings.ToLower(host))) {
		return fmt.Errorf("%q is neither a host name nor an IP address: write host:port, or :port for all addresses of this machine", host)
	}
	return nil
}
