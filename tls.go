package main

import (
	"crypto/tls"
)

// serverTLS is how connections of clients are encrypted, nil for not at all.
//
// HTTP/2 is not offered. Its connections carry many answers at once, so that a reader
// who takes in nothing would be hard to tell from one who waits his turn, and a mirror
// of files gains nothing by it.
func serverTLS(c *Config) *tls.Config {
	if c.certificate == nil {
		return nil
	}
	return &tls.Config{
		Certificates: []tls.Certificate{*c.certificate},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"http/1.1"},
	}
}

// clientTLS is how other servers of the cluster are checked.
func clientTLS(c *Config) *tls.Config {
	return &tls.Config{RootCAs: c.authorities, MinVersion: tls.VersionTLS12}
}
