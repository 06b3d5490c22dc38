package access

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
)

// ReadCertificate reads a certificate and its key from files (PEM).
func ReadCertificate(certFile, keyFile string) (*tls.Certificate, error) {
	cert, err := ReadFile(certFile)
	if err != nil {
		return nil, err
	}
	key, err := ReadFile(keyFile)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", certFile, keyFile, err)
	}
	return &pair, nil
}

// ReadAuthorities reads the certificates of the authorities that other servers' certificates
// are checked against, from a file (PEM).
func ReadAuthorities(path string) (*x509.CertPool, error) {
	text, err := ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New(path + " holds no certificate (PEM)")
	}
	return pool, nil
}

// TrustAlso returns the system's authorities and those in files (PEM); an empty name is no file. It returns
// nil, which stands for the system's alone, if there is no file.
func TrustAlso(paths ...string) (*x509.CertPool, error) {
	paths = slices.DeleteFunc(paths, func(path string) bool { return path == "" })
	if len(paths) == 0 {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		text, err := ReadFile(path)
		if err != nil {
			return nil, err
		}
		pool.AppendCertsFromPEM(text) // a file without one is an error of the key that names it
	}
	return pool, nil
}

// ServerTLS is how connections of clients are encrypted with a certificate; nil without one, for
// not at all.
//
// HTTP/2 is not offered. Its connections carry many answers at once, so that a reader who takes
// in nothing would be hard to tell from one who waits for his turn, and a mirror of files gains
// nothing by it.
func ServerTLS(c *tls.Certificate) *tls.Config {
	if c == nil {
		return nil
	}
	return &tls.Config{
		Certificates: []tls.Certificate{*c},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"http/1.1"},
	}
}

// ClientTLS is how other servers of the cluster are checked: against these authorities, or
// against the system's if they are nil.
func ClientTLS(authorities *x509.CertPool) *tls.Config {
	return &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12}
}
