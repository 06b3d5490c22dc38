package main

import (
	"net"
	"net/http"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/ondemand"
	"github.com/reconquest/sould/internal/smarthttp"
	"github.com/reconquest/sould/internal/storage"
)

// reader is who sends a request for a mirror. Clients of git's version 2 can begin with one that is being
// made.
func reader(r *http.Request) ondemand.Reader {
	follows := smarthttp.IsPath(r.URL.Path) && smarthttp.Version(r.Header["Git-Protocol"]) == 2
	return ondemand.Reader{Address: address(r), IsServer: isPeer(r), Follows: follows}
}

// read finds the mirror that a reader asks for, or has it made.
func (s *Server) read(r *http.Request, name storage.Name) (ondemand.Reading, error) {
	return s.mirrors.finder.Read(r.Context(), name, reader(r))
}

// find finds the mirror that a reader asks for, if it is here.
func (s *Server) find(r *http.Request, name storage.Name) (*mirror.Mirror, error) {
	return s.mirrors.finder.Find(name, reader(r))
}

// address is a client's address, without its port.
func address(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}
