package main

import (
	"crypto/tls"
	"net"
)

// secured is a listener whose connections are encrypted if the settings say so that
// are in force when they are accepted. A reload can change a certificate, or turn
// encryption on and off, without a word to the listener. What has been accepted stays
// as it is; net/http bounds the handshake by ReadHeaderTimeout.
type secured struct {
	*listener
	config func() *tls.Config // nil for none
}

func (l secured) Accept() (net.Conn, error) {
	c, err := l.listener.Accept()
	if err != nil {
		return nil, err
	}
	if config := l.config(); config != nil {
		return tls.Server(c, config), nil
	}
	return c, nil
}

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
