package main

import (
	"github.com/reconquest/sould/internal/git"
)

// settings are a configuration and what was made of it. They are never changed;
// a reload replaces them, and a request keeps those that it began with.
type settings struct {
	Config
	source   string // where the configuration is from
	unsecure bool   // local origins are allowed
	git      *git.Git
}

func newSettings(c Config, source string, unsecure bool, leash *git.Leash) *settings {
	return &settings{
		Config: c, source: source, unsecure: unsecure,
		git: git.New(git.Options{
			SSHCommand: c.SSHCommand,
			CAFile:     c.CAFile,
			AllowLocal: unsecure,
			Leash:      leash,
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
