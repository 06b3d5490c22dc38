// Package git runs git for a program that keeps bare repositories by itself.
//
// It is the one place that starts processes. Every call has the same small
// environment, whatever the daemon's own is and whatever a system or user
// configuration says: no prompts, no hooks, no credential helpers, no replaced
// objects, no transports but the permitted ones, and these only to list and to fetch.
// Every call names its repository; git never searches for one. Words that come from users stand
// behind "--" or on standard input, so that none of them becomes an option.
//
// A git command is a family of processes. Each call gets a process group of its
// own, which is ended as a whole when the call's context ends. What outlives
// even the daemon is found again by the next one through a [Leash].
//
// Refs do not move by "git fetch": the package lists an origin's refs ([Git.List]),
// brings objects ([Repo.Fetch]) and writes refs ([Repo.WriteRefs], [Repo.WriteHead]) in
// separate steps, so that the caller can decide between them.
package git

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Options says what every git command is allowed to do and how it reaches
// origins.
type Options struct {
	SSHCommand string // the value of GIT_SSH_COMMAND; empty for [DefaultSSHCommand]
	CAFile     string // certificates (PEM) to trust for https; empty for the system's
	AllowLocal bool   // permit origins that are local paths
	Leash      *Leash // held by every child; nil for none
	Stay       bool   // leave it to Allow whether a redirect is followed: it may lead where nobody wants to go
	// Allow tells which URLs of the same server an origin may redirect to, if Stay is set. With
	// nil it may redirect to none.
	Allow   func(url string) error
	Scratch string // a directory for what a command needs while it runs; empty for the system's
	Memory  uint64 // the most that each process may allocate, in bytes; 0 for the default
	Fsck    Fsck   // what is refused; empty for [FsckDefault]
}

// leastMemory is what a process may allocate on every machine, in bytes. 400,000 objects
// are fetched, checked and repacked with an eighth of it.
const leastMemory = 2 << 30

// defaultMemory leaves a machine half of its memory whatever one process does.
func defaultMemory() uint64 { return max(leastMemory, machineMemory()/2) }

// DefaultSSHCommand never asks a question and notices a silent server.
const DefaultSSHCommand = "ssh -oBatchMode=yes -oConnectTimeout=10 -oServerAliveInterval=15 -oServerAliveCountMax=3"

// Git runs git commands with one set of options. It is safe for concurrent use.
type Git struct {
	env       []string // of every child, without the settings
	leash     *Leash
	protocols string // by which remotes may be reached
	scratch   string
	memory    uint64 // the most that each process may allocate, in bytes
	fsck      Fsck   // what is refused
	messages  *messages
	last      []string // settings that no command overrides
	stay      bool
	allow     func(url string) error
}

// inherited are the variables of the daemon that git may see: where programs,
// keys and ~/.netrc are, and how to reach the network.
var inherited = []string{
	"PATH", "HOME", "TMPDIR", "SSH_AUTH_SOCK",
	"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_PROXY_SSL_CAINFO",
}

// settings hold for every command, as pairs of key and value.
var settings = []string{
	"core.hooksPath", os.DevNull,
	"core.attributesFile", os.DevNull, // else that of the user
	"credential.helper", "",
	"safe.directory", "*", // every call names its repository

	// Every fetch leaves one pack, synced; packs are repacked by the caller.
	"fetch.unpackLimit", "1",
	// No ref that git writes must survive (holdPrefix), and a pack is nothing without its index.
	"core.fsync", "objects,derived-metadata",
	"gc.auto", "0",
	"maintenance.auto", "false",

	// What a repack takes must stay within what a process may allocate.
	"pack.windowMemory", "256m", // a thread

	// A server that counts objects says five bytes now and then to show that it is alive,
	// and some say nothing. How long all may take, the caller knows.
	"http.lowSpeedLimit", "0",
	"http.lowSpeedTime", "0",

	// The bytes of an archive must not depend on a server's configuration.
	"tar.umask", "0002",
	"core.bigFileThreshold", "512m",
}

// New returns a Git with these options.
func New(o Options) *Git {
	protocols := "http:https:ssh:git"
	if o.AllowLocal {
		protocols += ":file"
	}
	ssh := o.SSHCommand
	if ssh == "" {
		ssh = DefaultSSHCommand
	}
	env := []string{
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_ATTR_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0",
		"GIT_ASKPASS=",
		"SSH_ASKPASS=",
		"GIT_NO_REPLACE_OBJECTS=1",
		"GIT_OPTIONAL_LOCKS=0",
		// A repository that lacks objects must not have them fetched, from where it says.
		"GIT_ALLOW_PROTOCOL=none",
		"GIT_NO_LAZY_FETCH=1",
		"GIT_SSH_COMMAND=" + ssh,
		"LC_ALL=C",
	}
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	if o.CAFile != "" {
		env = append(env, "GIT_SSL_CAINFO="+o.CAFile) // the last one counts
	}
	g := &Git{
		env: env, leash: o.Leash, protocols: protocols, scratch: o.Scratch,
		memory: min(cmp.Or(o.Memory, defaultMemory()), ownMemory()),
		stay:   o.Stay, allow: o.Allow,
		fsck: cmp.Or(o.Fsck, FsckDefault), messages: newMessages(),
	}
	if o.Stay {
		g.last = []string{"http.followRedirects", "false"}
	}
	return g
}

// environ is the environment of one command: the common one, then all settings
// in the form that git reads since version 2.31. Unlike "-c", it does not show
// in the process list.
func (g *Git) environ(extra []string) []string {
	env := make([]string, 0, len(g.env)+len(settings)+len(extra)+1)
	env = append(env, g.env...)
	n := 0
	for _, pairs := range [][]string{settings, extra, g.last} {
		for i := 0; i+1 < len(pairs); i += 2 {
			env = append(env,
				"GIT_CONFIG_KEY_"+strconv.Itoa(n)+"="+pairs[i],
				"GIT_CONFIG_VALUE_"+strconv.Itoa(n)+"="+pairs[i+1])
			n++
		}
	}
	return append(env, "GIT_CONFIG_COUNT="+strconv.Itoa(n))
}

// oldest is the first version of git that will do: it reads settings from the
// environment.
const oldest = "2.31"

// Version returns git's version, such as "2.39.5". It is an error if there is no
// git or if it is older than oldest.
func (g *Git) Version(ctx context.Context) (string, error) {
	out, err := g.output(ctx, command{name: "version"})
	if err != nil {
		return "", err
	}
	version, err := parseVersion(string(out))
	if err != nil {
		return "", err
	}
	return version, nil
}

func parseVersion(out string) (string, error) {
	fields := strings.Fields(out)
	if len(fields) < 3 {
		return "", fmt.Errorf("git says of its version %q", out)
	}
	version := fields[2]
	var major, minor, oldMajor, oldMinor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return "", fmt.Errorf("git says of its version %q", out)
	}
	if _, err := fmt.Sscanf(oldest, "%d.%d", &oldMajor, &oldMinor); err != nil {
		return "", err
	}
	if major < oldMajor || major == oldMajor && minor < oldMinor {
		return "", fmt.Errorf("git is %s, but %s or newer is needed", version, oldest)
	}
	return version, nil
}

// Remote is where a repository is fetched from.
type Remote struct {
	URL            string // a URL or path in git's form, without a password
	User, Password string // for http and https only: sent as basic authentication; a user alone only if asked for

	Headers []string // for http and https only: sent with each request
	Direct  bool     // neither a proxy is used nor a redirect followed
	CAFile  string   // certificates (PEM) to trust instead of those of Options; empty for those

	netrc string // the password of a user without one, from ~/.netrc
}

// web is the remote's URL, and nil if it is none of http or https.
func (r Remote) web() *url.URL {
	u, err := url.Parse(r.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil
	}
	return u
}

// settings are what a command needs to talk to the remote in this version of the protocol:
// credentials go by the environment, never by an argument, and bound to their host.
func (r Remote) settings(version string) []string {
	s := []string{"protocol.version", version}
	u := r.web()
	if u == nil {
		return s
	}
	headers, redirects := r.Headers, "initial"
	if r.nameOnly() {
		helper, _ := r.helperOf(u)
		s = append(s, helper...)
	} else if r.Password != "" {
		basic := base64.StdEncoding.EncodeToString([]byte(r.User + ":" + r.Password))
		headers = append(slices.Clip(headers), "Authorization: Basic "+basic)
	}
	if r.Direct {
		s = append(s, "http.proxy", "")
	}
	if r.Direct || len(headers) > 0 || r.User != "" {
		redirects = "false" // git would send the headers on to the target; see following
	}
	for _, header := range headers {
		s = append(s, "http."+u.Scheme+"://"+u.Host+"/.extraHeader", header)
	}
	return append(s, "http.followRedirects", redirects)
}

// envFor are the variables of a command that talks to a remote.
func (g *Git) envFor(r Remote) []string {
	env := []string{"GIT_ALLOW_PROTOCOL=" + g.protocols}
	if r.CAFile != "" {
		env = append(env, "GIT_SSL_CAINFO="+r.CAFile)
	}
	if u := r.web(); u != nil && r.nameOnly() {
		_, helper := r.helperOf(u)
		env = append(env, helper...)
	}
	return env
}

// Secrets are the words that no message may show, in the forms that they may have there. The
// user may be a token.
func (r Remote) Secrets() []string {
	var s []string
	if r.User != "" || r.Password != "" {
		s = append(s, base64.StdEncoding.EncodeToString([]byte(r.User+":"+r.Password)))
	}
	for _, header := range r.Headers {
		if value, ok := strings.CutPrefix(header, "Authorization: "); ok {
			s = append(s, value[strings.LastIndexByte(value, ' ')+1:])
		}
	}
	if r.netrc != "" {
		s = append(s, base64.StdEncoding.EncodeToString([]byte(r.User+":"+r.netrc)))
	}
	for _, word := range []string{r.Password, r.netrc, r.User} {
		if len(word) >= shortestSecret {
			for _, form := range []string{word, url.PathEscape(word), url.User(word).String()} {
				s = append(s, form, url.QueryEscape(form))
			}
		}
	}
	return s
}

// shortestSecret is the length from which a word is worth hiding: shorter ones
// ("git", "x") stand in every other message and protect nothing.
const shortestSecret = 6
