// Package git runs git for a program that keeps bare repositories by itself.
//
// It is the only package that starts processes. Every command gets the same small environment,
// whatever the daemon's environment and the configuration of the system or the user say: no
// prompts, no hooks, no credential helpers, no replaced objects, and no transports but the
// permitted ones, for listing and fetching only. Every command names its repository; git never
// searches for one. Words that come from users stand behind "--" or on standard input, so that
// none of them becomes an option.
//
// A git command starts further processes. Each command gets a process group of its own, which
// is ended as a whole when the command's context ends. If processes outlive the daemon, the
// next daemon finds them through a [Leash].
//
// Refs are not moved by "git fetch": the package lists an origin's refs ([Git.List]), brings
// objects ([Repo.Fetch]) and writes refs ([Repo.WriteRefs], [Repo.WriteHead]) in separate
// steps, so that the caller can decide between them.
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

	"github.com/reconquest/sould/internal/credential"
	"github.com/reconquest/sould/internal/lsrefs"
	"github.com/reconquest/sould/internal/publicnet"
)

// Options says what git commands may do and how they reach origins.
type Options struct {
	SSHCommand string // the value of GIT_SSH_COMMAND; empty for [DefaultSSHCommand]
	CAFile     string // certificates (PEM) to trust for https; empty for the system's
	AllowLocal bool   // permit origins that are local paths
	Leash      *Leash // every child holds it; nil for none
	MaxIdle    int    // connections that are kept for the next list; 0 for a few
	Scratch    string // a directory for temporary files of commands; empty for the system's
	Memory     uint64 // the most that each process may allocate, in bytes; 0 for the default
	Fsck       Fsck   // which objects are refused; empty for [FsckDefault]

	Credentials *credential.Source // of http and https servers ([NewCredentials]); nil for none
	Guard       *publicnet.Guard   // connects to remotes that are Public; nil if none is

	// RestrictRedirects has AllowRedirect asked before any redirect is followed: an origin may
	// redirect to a place that the operator did not permit.
	RestrictRedirects bool
	// AllowRedirect returns an error if a redirect to this URL, on the same server, must not be
	// followed. With nil, none is followed.
	AllowRedirect func(url string) error
}

// minMemory is the lowest default limit of a process's memory, in bytes. To fetch, check and
// repack 400,000 objects takes an eighth of it.
const minMemory = 2 << 30

// defaultMemory is half of the machine's memory, in bytes, but at least minMemory.
func defaultMemory() uint64 { return max(minMemory, machineMemory()/2) }

// DefaultSSHCommand never prompts, and gives up when the server is silent.
const DefaultSSHCommand = "ssh -oBatchMode=yes -oConnectTimeout=10 -oServerAliveInterval=15 -oServerAliveCountMax=3"

// Git runs git commands with one set of options. It is safe for concurrent use.
type Git struct {
	env       []string // the variables of every child, without those for settings
	leash     *Leash
	protocols string // the value of GIT_ALLOW_PROTOCOL for remotes
	scratch   string
	memory    uint64 // the most that each process may allocate, in bytes
	fsck      Fsck   // which objects are refused
	messages  *messages
	overrides []string // settings that no command can change

	credentials *credential.Source

	restrictRedirects bool
	allowRedirect     func(url string) error
	web               *lsrefs.Client // for lists without a process
	guard             *publicnet.Guard
	publicWeb         *lsrefs.Client // for remotes that are Public; nil without guard
}

// inheritedEnv are the variables of the daemon that git gets too: where programs, keys and
// ~/.netrc are, and how to reach the network.
var inheritedEnv = []string{
	"PATH", "HOME", "TMPDIR", "SSH_AUTH_SOCK",
	"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_PROXY_SSL_CAINFO",
}

// settings hold for every command, as pairs of key and value (git-config(1)).
var settings = []string{
	"core.hooksPath", os.DevNull,
	"core.attributesFile", os.DevNull, // instead of the user's file
	"credential.helper", "",
	"safe.directory", "*", // every call names its repository

	// Every fetch leaves one synced pack; the caller repacks.
	"fetch.unpackLimit", "1",
	// Refs that git writes (holdPrefix) need not survive a crash. A pack needs its index.
	"core.fsync", "objects,derived-metadata",
	"gc.auto", "0",
	"maintenance.auto", "false",

	// A repack must stay within the limit of memory.
	"pack.windowMemory", "256m", // per thread

	// A server that counts objects sends only a few bytes now and then, and some send none. The
	// caller limits the whole time.
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
		// A repository that lacks objects must not fetch them from the remote that it names.
		"GIT_ALLOW_PROTOCOL=none",
		"GIT_NO_LAZY_FETCH=1",
		"GIT_SSH_COMMAND=" + ssh,
		"LC_ALL=C",
	}
	for _, name := range inheritedEnv {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	if o.CAFile != "" {
		env = append(env, "GIT_SSL_CAINFO="+o.CAFile) // the last value counts
	}
	g := &Git{
		env: env, leash: o.Leash, protocols: protocols, scratch: o.Scratch,
		memory:            min(cmp.Or(o.Memory, defaultMemory()), ownMemory()),
		restrictRedirects: o.RestrictRedirects, allowRedirect: o.AllowRedirect, credentials: o.Credentials,
		fsck: cmp.Or(o.Fsck, FsckDefault), messages: newMessages(),
		web: lsrefs.NewClient(lsrefs.Options{CAFile: o.CAFile, MaxIdle: o.MaxIdle, Getenv: os.LookupEnv}),
	}
	if o.Guard != nil {
		g.guard = o.Guard
		g.publicWeb = lsrefs.NewClient(lsrefs.Options{CAFile: o.CAFile, MaxIdle: o.MaxIdle, Getenv: os.LookupEnv, Dial: o.Guard.Dial})
	}
	if o.RestrictRedirects {
		g.overrides = []string{"http.followRedirects", "false"}
	}
	return g
}

// environ is the environment of one command: the common variables, and all settings in the form
// that git reads since version 2.31 (git(1), GIT_CONFIG_COUNT). Unlike "-c", it does not show
// in the process list.
func (g *Git) environ(extra []string) []string {
	env := make([]string, 0, len(g.env)+len(settings)+len(extra)+1)
	env = append(env, g.env...)
	n := 0
	for _, pairs := range [][]string{settings, extra, g.overrides} {
		for i := 0; i+1 < len(pairs); i += 2 {
			env = append(env,
				"GIT_CONFIG_KEY_"+strconv.Itoa(n)+"="+pairs[i],
				"GIT_CONFIG_VALUE_"+strconv.Itoa(n)+"="+pairs[i+1])
			n++
		}
	}
	return append(env, "GIT_CONFIG_COUNT="+strconv.Itoa(n))
}

// minVersion is the minVersion version of git that can be used: the first that reads settings from
// the environment.
const minVersion = "2.31"

// Version returns git's version, such as "2.39.5". It is an error if git is missing or older
// than minVersion.
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
		return "", fmt.Errorf("git version prints %q", out)
	}
	version := fields[2]
	var major, minor, oldMajor, oldMinor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return "", fmt.Errorf("git version prints %q", out)
	}
	if _, err := fmt.Sscanf(minVersion, "%d.%d", &oldMajor, &oldMinor); err != nil {
		return "", err
	}
	if major < oldMajor || major == oldMajor && minor < oldMinor {
		return "", fmt.Errorf("git is %s, but %s or newer is needed", version, minVersion)
	}
	return version, nil
}

// Remote is where a repository is fetched from.
type Remote struct {
	URL            string // a URL or path in git's form, without a password
	User, Password string // for http and https: basic authentication; a user without a password is sent only if the server asks

	Headers []string // for http and https: sent with each request
	Direct  bool     // use no proxy and follow no redirect
	CAFile  string   // certificates (PEM) to trust; empty for Options.CAFile
	Public  bool     // connect to public addresses only, whatever its name or a redirect leads to; only over http and https

	netrc     string             // the password that ~/.netrc has for User, if Password is empty
	mayBeSent []credential.Login // what git's library may find in ~/.netrc

	// Of a remote whose server has a credential command (withCredentials).
	asker     *credential.Asker // nil for others
	askedUser string            // the user that the command is asked for; User is empty then
	login     credential.Login  // what the command gave; zero for nothing yet
}

// webURL is the remote's URL, or nil if it is neither http nor https.
func (r Remote) webURL() *url.URL {
	u, err := url.Parse(r.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil
	}
	return u
}

// settings are what a command needs to talk to the remote in this version of the protocol.
// Credentials are passed in the environment, never in an argument, and bound to their host.
func (r Remote) settings(version string) []string {
	s := []string{"protocol.version", version}
	u := r.webURL()
	if u == nil {
		return s
	}
	headers, redirects := r.headers(), "initial"
	if r.userOnly() {
		helper, _ := r.credentialHelper(u)
		s = append(s, helper...)
	}
	if r.Direct {
		s = append(s, "http.proxy", "")
	}
	if r.Direct || len(headers) > 0 || r.User != "" { // headers has the login, too
		redirects = "false" // git would send the headers to the target too; see followRedirects
	}
	for _, header := range headers {
		s = append(s, "http."+u.Scheme+"://"+u.Host+"/.extraHeader", header)
	}
	return append(s, "http.followRedirects", redirects)
}

// headers are what an http server is sent with each request.
func (r Remote) headers() []string {
	if a := r.authorization(); a != "" {
		return append(slices.Clip(r.Headers), "Authorization: "+a)
	}
	return r.Headers
}

// authorization is the value of the header with the credentials that are sent unasked; empty for
// none.
func (r Remote) authorization() string {
	switch {
	case r.Password != "":
		return basicAuthorization(r.User, r.Password)
	case !r.login.IsZero():
		return r.login.Authorization()
	default:
		return ""
	}
}

// basicAuthorization is the value of the header for Basic authentication (RFC 7617).
func basicAuthorization(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// envFor are the variables of a command that talks to this remote.
func (g *Git) envFor(r Remote) []string {
	env := []string{"GIT_ALLOW_PROTOCOL=" + g.protocols}
	if r.CAFile != "" {
		env = append(env, "GIT_SSL_CAINFO="+r.CAFile)
	}
	switch u := r.webURL(); {
	case u != nil && r.userOnly():
		_, helper := r.credentialHelper(u)
		env = append(env, helper...)
	case r.asker != nil:
		env = append(env, "HOME="+os.DevNull) // else git's library tries ~/.netrc first
	}
	return env
}

// Secrets are the words that no message may show, in all forms in which they may appear. The
// user name is one: it may be a token.
func (r Remote) Secrets() []string {
	var s []string
	if r.User != "" || r.Password != "" {
		s = append(s, base64.StdEncoding.EncodeToString([]byte(r.User+":"+r.Password)))
	}
	for _, header := range r.headers() {
		if value, ok := strings.CutPrefix(header, "Authorization: "); ok {
			s = append(s, value[strings.LastIndexByte(value, ' ')+1:])
		}
	}
	words := []string{r.Password, r.netrc, r.User, r.askedUser}
	for _, login := range slices.Concat(r.mayBeSent, r.asker.Sent()) {
		words = append(words, login.Secrets()...)
	}
	for _, word := range words {
		if len(word) >= shortestSecret {
			for _, form := range []string{word, url.PathEscape(word), url.User(word).String()} {
				s = append(s, form, url.QueryEscape(form))
			}
		}
	}
	return s
}

// shortestSecret is the length of the shortest word that is hidden, in bytes. Shorter ones
// ("git", "x") are in every other message and protect nothing.
const shortestSecret = 6
