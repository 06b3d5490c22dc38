package main

import (
	"crypto/tls"
	"net/http"

	"github.com/reconquest/sould/internal/git"
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

func newSettings(c Config, source string, unsecure bool, storage *Storage) *settings {
	return &settings{
		Config: c, source: source, unsecure: unsecure,
		client: newClient(clientTLS(&c), othersBound(descriptorLimit(), len(c.Slaves)+len(c.Peers))), tls: serverTLS(&c), doubts: c.Doubts(source),
		git: git.New(git.Options{
			SSHCommand: c.SSHCommand,
			CAFile:     c.CAFile,
			AllowLocal: unsecure,
			Leash:      storage.Leash,
			Scratch:    storage.own("incoming"),
			Stay:       len(c.Origins) > 0,
			Fsck:       c.Fsck,
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
