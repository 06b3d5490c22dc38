package main

import (
	"cmp"
	"crypto/tls"
	"net/http"
	"slices"
	"time"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/archive"
	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/credential"
	"github.com/reconquest/sould/internal/discover"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/housekeeping"
	"github.com/reconquest/sould/internal/insight"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/notify"
	"github.com/reconquest/sould/internal/ondemand"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/poll"
	"github.com/reconquest/sould/internal/propagate"
	"github.com/reconquest/sould/internal/publicnet"
	"github.com/reconquest/sould/internal/status"
	"github.com/reconquest/sould/internal/storage"
)

// settings are a configuration and what was made of it. They are never changed;
// a reload replaces them, and a request keeps those that it began with. No other package
// knows them: each gets options of its own, with what it reads.
type settings struct {
	Config
	unsecure bool // local origins are allowed
	git      *git.Git
	tls      *tls.Config // for clients; nil for plain HTTP
	warnings []string    // what the log is told once
	tables   ondemand.Tables
}

func newSettings(c Config, source string, unsecure bool, dir *storage.Dir, credentials *credential.Source, guard *publicnet.Guard) *settings {
	return &settings{
		Config: c, unsecure: unsecure, tls: access.ServerTLS(c.certificate), warnings: c.Warnings(source),
		tables: ondemand.NewTables(c.OnDemand),
		git: git.New(git.Options{
			SSHCommand: c.SSHCommand,
			CAFile:     c.CAFile,
			AllowLocal: unsecure,
			Leash:      dir.Leash,
			MaxIdle:    conn.ListBound(conn.DescriptorLimit()),
			Scratch:    dir.Own("incoming"),
			Fsck:       c.Fsck,
			Guard:      guard,

			Credentials: credentials,

			RestrictRedirects: len(c.Origins) > 0,
			AllowRedirect:     origin.Policy{Local: unsecure, Patterns: c.Origins}.CheckURL,
		}),
	}
}

// baseURL is what links begin with that a client gets; empty if that is not known.
func (s *settings) baseURL(r *http.Request) string {
	return cmp.Or(s.PublicURL, access.BaseURL(r))
}

// role is what the server calls itself.
func (s *settings) role() string {
	if s.Master {
		return "master"
	}
	return "slave"
}

// originPolicy says which origins this server reads.
func (s *settings) originPolicy() origin.Policy {
	return origin.Policy{Local: s.unsecure, Patterns: s.Origins}
}

// accessPolicy says who may do what here. Other servers of the cluster have the same tokens.
func (s *settings) accessPolicy() access.Policy {
	return access.Policy{Hosts: s.AllowHosts, Token: s.Token, ReadToken: s.ReadToken}
}

func (s *settings) mirrorOptions() *mirror.Options {
	o := &mirror.Options{
		Git: s.git, Refs: s.Refs, Origins: s.originPolicy(), FetchTimeout: s.FetchTimeout, ListTimeout: s.ListTimeout,
		Patience: s.Patience, Retry: s.Retry, Keep: s.Keep, MaxFetches: s.MaxFetches,
	}
	if len(s.OnDemand) > 0 {
		o.MaxAge, o.Public = s.tables.MaxAge, s.tables.DenyPrivate
	}
	if s.DenyPrivate {
		o.Public = func(storage.Name) bool { return true }
	}
	return o
}

// fewestFirstReads is how many first reads are at work at once, however few transfers there may be: most
// of them only ask whether the origin has such a repository.
const fewestFirstReads = 8

func (s *settings) makerOptions() *ondemand.Options {
	return &ondemand.Options{
		Tables: s.tables, Origins: s.originPolicy(), Places: max(2*s.MaxFetches, fewestFirstReads), Retry: s.Retry,
	}
}

func (s *settings) archiveOptions() *archive.Options {
	return &archive.Options{
		MaxArchives: s.MaxArchives, Limit: s.ArchiveLimit, Timeout: s.ArchiveTimeout, Retry: s.Retry,
	}
}

func (s *settings) keeperOptions() *housekeeping.Options {
	return &housekeeping.Options{Keep: s.Keep, Repack: s.Maintenance, Check: s.Check}
}

// discoverShare is which part of the places for propagations discovery may take, as 1 divided by it: it begins
// thousands of them, and slaves that do not answer must not have clients find no place.
const discoverShare = 8

func (s *settings) discoverOptions() *discover.Options {
	return &discover.Options{
		Tables: s.Discover, Master: s.Master, Origins: s.originPolicy(), CAFile: s.CAFile,
		Places: propagate.Places(len(s.Slaves)) / discoverShare,
	}
}

func (s *settings) statusOptions() *status.Options {
	return &status.Options{Role: s.role(), Master: s.Master, Refs: s.Refs}
}

// insightOptions are what package insight reads of the settings.
func (s *settings) insightOptions(version string) *insight.Options {
	return &insight.Options{
		Role: s.role(), Origins: s.originPolicy(), Keep: s.Keep, Check: s.Check, Repair: s.Repair, Release: version,
		Token:  s.accessPolicy().Token != "",
		OnRead: func(name storage.Name) (origin.URL, bool) { return s.tables.MadeFrom(name, s.originPolicy()) },
	}
}

func (s *settings) notifyOptions(version string) *notify.Options {
	return &notify.Options{
		Targets: s.Notify, Secret: s.notifySecret, Trust: s.notifyTrust, Retry: s.Retry, Timeout: s.Timeout,
		Slaves: s.Master && len(s.Slaves) > 0, Release: version,
	}
}

func (s *settings) clusterOptions() *cluster.Options {
	o := &cluster.Options{
		Peers: s.Peers, Access: s.accessPolicy(), TLS: access.ClientTLS(s.authorities), CAFile: s.TLSCA, Timeout: s.Timeout,
		Repair: s.Repair, Refs: s.Refs, AllowLocal: s.unsecure,
		MaxConns: conn.ServerBound(conn.DescriptorLimit(), len(s.Slaves)+len(s.Peers)),
	}
	if s.Master {
		o.Slaves = s.Slaves
	}
	return o
}

// pollOptions are what package poll reads of the settings.
func (s *settings) pollOptions() *poll.Options {
	opts := &poll.Options{Places: s.MaxPolls}
	if s.Poll > 0 || slices.ContainsFunc(s.OnDemand, func(r ondemand.Rule) bool { return r.Poll > 0 }) {
		opts.Every = s.pollEvery
	}
	return opts
}

// pollEvery is how often a mirror is looked at; 0 for never. Only one server looks at a mirror: the
// master or, where that is unknown, the server that a client has asked. What reads have made here is
// looked at only if the table of its name says so, which holds for what was POSTed below it as well.
func (s *settings) pollEvery(name storage.Name, snap *mirror.Snapshot) time.Duration {
	rule, _, below := s.tables.Find(name)
	switch {
	case !s.Master && cluster.IsTold(snap):
		return 0
	case below && (rule.Poll > 0 || snap.OnDemand):
		return rule.Poll
	case snap.OnDemand: // by a table that is not there any more
		return 0
	default:
		return s.Poll
	}
}
