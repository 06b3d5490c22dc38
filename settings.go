package main

import (
	"crypto/tls"
	"net/http"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
)

// settings are a configuration and what was made of it. They are never changed;
// a reload replaces them, and a request keeps those that it began with.
type settings struct {
	Config
	source   string // where the configuration is from
	unsecure bool   // local origins are allowed
	git      *git.Git
	client   *http.Client // to other servers
	tls      *tls.Config  // for clients; nil for plain HTTP
	doubts   []string     // what the log is told once
}

func newSettings(c Config, source string, unsecure bool, dir *storage.Dir) *settings {
	return &settings{
		Config: c, source: source, unsecure: unsecure,
		client: newClient(clientTLS(&c), conn.ServerBound(conn.DescriptorLimit(), len(c.Slaves)+len(c.Peers))), tls: serverTLS(&c), doubts: c.Doubts(source),
		git: git.New(git.Options{
			SSHCommand: c.SSHCommand,
			CAFile:     c.CAFile,
			AllowLocal: unsecure,
			Leash:      dir.Leash,
			Scratch:    dir.Own("incoming"),
			Stay:       len(c.Origins) > 0,
		}),
	}
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
