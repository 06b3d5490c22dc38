package main

import (
	"net/http"

	"github.com/reconquest/sould/internal/access"
)

// challenges are the values of WWW-Authenticate. Only reading takes a password: a
// browser sends one that it knows with each request, also with those that another
// site made it send.
var challenges = map[access.Need]string{
	access.Read:    `Basic realm="sould"`,
	access.Command: "Bearer",
}

// admit checks a request before anybody answers it.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, what access.Need) error {
	set := s.settings()
	if (r.TLS != nil) != (set.certificate != nil) { // a connection from before a reload
		w.Header().Set("Connection", "close")
	}
	err := set.accessPolicy().Permit(what, r.Host, r.Header)
	if err != nil && status(err) == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", challenges[what])
	}
	return err
}
