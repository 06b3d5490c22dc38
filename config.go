package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/discover"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/logging"
	"github.com/reconquest/sould/internal/notify"
	"github.com/reconquest/sould/internal/ondemand"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/poll"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/tomlkeys"
	"github.com/reconquest/sould/internal/units"
	"github.com/reconquest/sould/internal/webhook"
)

// Config is what the configuration file and the environment say, with defaults for what they do not
// say. It never changes after it was loaded. The manual of the keys is sould.conf.example.
type Config struct {
	Listen         string
	Storage        string // absolute
	Master         bool
	Slaves         []protocol.Address
	Peers          []protocol.Address
	Repair         time.Duration // 0 for never
	Timeout        time.Duration
	FetchTimeout   time.Duration
	ListTimeout    time.Duration
	Patience       time.Duration
	Retry          time.Duration
	MaxFetches     int
	Poll           time.Duration // 0 for never
	MaxPolls       int
	FirstPatience  time.Duration // of tables that say nothing else
	DenyPrivate    bool          // no origin may be at a private address
	Refs           []refs.Pattern
	CacheSize      int64 // bytes
	MaxArchives    int
	ArchiveLimit   int64 // bytes
	ArchiveTimeout time.Duration
	ExportSubst    bool
	MaxClones      int
	BundleFrom     int64         // bytes; 0 for never
	Keep           time.Duration // 0 for no time
	Maintenance    bool
	Check          time.Duration // 0 for never
	Fsck           git.Fsck
	LogFormat      logging.Format
	LogLevel       slog.Level
	MetricsMirrors int // 0 for none by name
	Hooks          []webhook.Hook
	Notify         []notify.Target
	SSHCommand     string
	CAFile         string
	OnDemand       []ondemand.Rule
	Discover       []discover.Table

	CredentialCommand map[string]string // by the servers that they are for

	// Who may do what.
	Token, ReadToken         access.Secret // read from the token files, if these are set
	TokenFile, ReadTokenFile string
	Origins                  []origin.Pattern // empty for any
	AllowHosts               []access.Host    // empty for any
	PublicURL                string           // what links begin with; empty for what a client calls the server
	TLSCert, TLSKey, TLSCA   string
	certificate              *tls.Certificate // of TLSCert and TLSKey; nil for plain HTTP
	authorities              *x509.CertPool   // of TLSCA; nil for the system's
	NotifySecretFile         string
	notifySecret             access.Secret  // of NotifySecretFile
	notifyTrust              *x509.CertPool // the system's, with those of CAFile and TLSCA; nil for the system's alone

	text *tomlkeys.Text // which says what has set a key; nil for the defaults
}

// DefaultConfigFile is read if the command line names no file and this one exists.
const DefaultConfigFile = "/etc/sould.conf"

// defaultConfig returns the configuration without a file.
func defaultConfig() Config {
	return Config{
		Listen:         "127.0.0.1:8080",
		Storage:        defaultStorage(),
		Repair:         30 * time.Second,
		Timeout:        20 * time.Second,
		FetchTimeout:   10 * time.Minute,
		ListTimeout:    10 * time.Second,
		Patience:       5 * time.Second,
		Retry:          5 * time.Second,
		MaxFetches:     2 * runtime.NumCPU(),
		MaxPolls:       16,
		FirstPatience:  10 * time.Minute,
		Refs:           refs.DefaultPatterns(),
		CacheSize:      4 << 30,
		MaxArchives:    runtime.NumCPU(),
		ArchiveLimit:   16 << 30,
		ArchiveTimeout: 10 * time.Minute,
		MaxClones:      4 * runtime.NumCPU(),
		BundleFrom:     100 << 20,
		SSHCommand:     git.DefaultSSHCommand,
		Keep:           30 * 24 * time.Hour,
		Maintenance:    true,
		Check:          7 * 24 * time.Hour,
		Fsck:           git.FsckDefault,
		LogFormat:      logging.Text,
		LogLevel:       slog.LevelInfo,
		MetricsMirrors: 1000,
	}
}

// defaultStorage is where systemd or else the XDG Base Directory Specification wants the data
// of a service to be. It is empty if neither says anything.
func defaultStorage() string {
	// If the unit has several directories, systemd lists all of them; ours is the first.
	if dir, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":"); dir != "" {
		return dir
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "sould")
	}
	if home, err := os.UserHomeDir(); err == nil && home != "" {
		return filepath.Join(home, ".local", "state", "sould")
	}
	return ""
}

// VariablePrefix begins the names of variables of the environment that set keys: SOULD_LISTEN sets
// listen.
const VariablePrefix = "SOULD_"

// LoadConfig reads the configuration from the file at path. If path is empty, it reads
// DefaultConfigFile or, if that does not exist, takes the defaults. source says which of these
// it was. Variables of the environment override the file. The error joins all mistakes, and those
// that the checks report.
func LoadConfig(path string, checks ...startCheck) (c Config, source string, err error) {
	c = defaultConfig()
	required := path != ""
	path = cmp.Or(path, DefaultConfigFile)
	text, err := access.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !required:
		source, text = "built-in defaults", nil
	case errors.Is(err, fs.ErrNotExist):
		return c, path, fmt.Errorf("there is no configuration file %s, which -c names", path)
	case err != nil:
		return c, path, fmt.Errorf("can't read the configuration file: %w", err)
	default:
		source = path
	}
	err = c.parse(source, string(text), os.Environ(), checks...)
	return c, source, err
}

// startCheck looks for what would keep a server with a configuration from starting, and changes
// nothing.
type startCheck func(c *Config, report func(key string, err error))

// checkStart is the check of --check and of a start. A reload does without: whoever reloads has
// started.
func checkStart(c *Config, report func(key string, err error)) {
	if c.Storage != "" {
		if err := storage.CheckPlace(c.Storage); err != nil {
			report("storage", err)
		}
	}
	if checkListen(c.Listen) == nil { // else that was reported
		if err := conn.CheckResolvable(c.Listen); err != nil {
			report("listen", err)
		}
	}
}

func (c *Config) logOptions() logging.Options {
	return logging.Options{Format: c.LogFormat, Level: c.LogLevel}
}

// parse sets what the text says, and what variables of an environment say instead. The error joins
// all mistakes in them, and those that the checks report.
func (c *Config) parse(file, text string, environ []string, checks ...startCheck) error {
	t, err := tomlkeys.Read(file, text, "token", namesToken)
	if err != nil {
		return err
	}
	t.Override(VariablePrefix, environ)
	c.text = t
	configKeys.Set(c, t)
	if c.ListTimeout > c.FetchTimeout {
		if t.Has("list_timeout") {
			t.Report("list_timeout", fmt.Errorf("%s is longer than fetch_timeout (%s)",
				units.FormatDuration(c.ListTimeout), units.FormatDuration(c.FetchTimeout)))
		}
		c.ListTimeout = c.FetchTimeout
	}
	t.Report("poll", poll.CheckInterval(c.Poll))
	c.loadAccess(t.Report)
	t.Report("ondemand", ondemand.Complete(c.OnDemand, c.FirstPatience, c.Origins))
	t.Report("hook", webhook.Complete(c.Hooks, len(c.OnDemand) > 0))
	c.loadNotify(t.Report)
	t.Report("discover", discover.CheckTables(c.Discover))
	if c.Storage == "" && !t.Has("storage") {
		t.Report("storage", errors.New("HOME is not set, so that there is no default: write the directory of the mirrors"))
	}
	if c.Storage != "" {
		if c.Storage, err = filepath.Abs(c.Storage); err != nil {
			t.Report("storage", err)
		}
	}
	for _, check := range checks {
		check(c, t.Report)
	}
	return t.Err()
}

// Show returns the settings in force as the text of a configuration file, without secrets.
func (c *Config) Show() string { return configKeys.Show(c) }

// address is where to listen. If the service manager has opened sockets and the key is not set, that
// is there alone, and the address is empty.
func (c *Config) address(activated bool) string {
	if activated && !c.text.Has("listen") {
		return ""
	}
	return c.Listen
}

// Sources are the file and the variables that were read, as people are told.
func (c *Config) Sources(file string) string {
	return strings.Join(append([]string{file}, c.text.Variables()...), ", ")
}

// ShowWithSources is Show with what has set each key behind it.
func (c *Config) ShowWithSources() string { return configKeys.ShowWith(c, c.text.From) }
