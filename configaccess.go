package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/units"
)

// Limits of a token, in characters.
const (
	shortestToken = 16 // a shorter one can be guessed
	longestToken  = 1024
)

// secretKey is a key whose value is not shown.
func secretKey(name string, field func(*Config) *access.Secret, file func(*Config) *string) configKey {
	return configKey{
		name: name,
		set: func(c *Config, value any) error {
			s, ok := value.(string)
			if !ok {
				return wrongType("a string", value)
			}
			*field(c) = access.Secret(s)
			if s == "" { // none
				return nil
			}
			return checkToken(s)
		},
		show: func(c *Config) string {
			if *file(c) != "" { // the secret was read from that file
				return quoteTOML("")
			}
			return quoteTOML(field(c).String())
		},
	}
}

// checkToken checks a token without ever repeating it.
func checkToken(s string) error {
	switch {
	case s == "***":
		return errors.New(`"***" is what --check shows instead of a token`)
	case len(s) < shortestToken:
		return fmt.Errorf("too weak: it has %d characters; %d at least (openssl rand -hex 32 makes one)", len(s), shortestToken)
	case len(s) > longestToken:
		return fmt.Errorf("it has %d characters; %d at most", len(s), longestToken)
	case strings.ContainsFunc(s, func(r rune) bool { return !tokenRune(r) }):
		return errors.New("it may have letters, digits and any of - . _ ~ + / = in it, and nothing else")
	}
	return nil
}

// tokenRune reports whether a token may contain a character (RFC 6750, section 2.1). None of
// these is ever escaped, so that a token looks the same wherever it has to be hidden.
func tokenRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._~+/=", r)
}

// isSecret reports whether a syntax error in that line of the file may be in a token, so that
// the message must not repeat it. The last key before the error tells, or the beginning of the
// line.
func isSecret(text string, line int, lastKey string) bool {
	lines := strings.Split(text, "\n")
	if 1 <= line && line <= len(lines) && namesToken(lines[line-1]) {
		return true
	}
	return slices.ContainsFunc(strings.Split(lastKey, "."), namesToken)
}

// namesToken reports whether a text begins with a key that holds a token, or with a misspelt
// one.
func namesToken(words string) bool {
	words = strings.ToLower(strings.TrimLeft(words, " \t\"'\ufeff"))
	words = strings.TrimPrefix(words, "read_")
	return strings.HasPrefix(words, "token") && !strings.HasPrefix(words, "token_file")
}

// readToken reads a token from a file of its own.
func readToken(path string) (access.Secret, error) {
	text, err := readSmallFile(path)
	if err != nil {
		return "", err
	}
	token := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if token == "" {
		return "", errors.New(path + " is empty")
	}
	if err := checkToken(token); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return access.Secret(token), nil
}

// readSmallFile reads the configuration file, or a file that a key names. It refuses a file that
// is not regular, since reading it may never end, and one larger than maxConfigFile.
func readSmallFile(path string) ([]byte, error) {
	// Without O_NONBLOCK, opening a FIFO may never return.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New(path + " is no regular file")
	}
	text, err := io.ReadAll(io.LimitReader(f, maxConfigFile+1))
	if err == nil && len(text) > maxConfigFile {
		err = fmt.Errorf("%s is larger than %s", path, units.FormatSize(maxConfigFile))
	}
	return text, err
}

// readPair reads a certificate and its key.
func readPair(certFile, keyFile string) (*tls.Certificate, error) {
	cert, err := readSmallFile(certFile)
	if err != nil {
		return nil, err
	}
	key, err := readSmallFile(keyFile)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", certFile, keyFile, err)
	}
	return &pair, nil
}

// readAuthorities reads the certificates of the authorities that other servers' certificates
// are checked against.
func readAuthorities(path string) (*x509.CertPool, error) {
	text, err := readSmallFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New(path + " holds no certificate (PEM)")
	}
	return pool, nil
}

// loadAccess reads the files of tokens and certificates that the configuration names, and
// reports keys that contradict each other.
func (c *Config) loadAccess(report func(key string, err error)) {
	for _, t := range []struct {
		key, file string
		token     *access.Secret
	}{{"token", c.TokenFile, &c.Token}, {"read_token", c.ReadTokenFile, &c.ReadToken}} {
		if t.file == "" {
			continue
		}
		if *t.token != "" {
			report(t.key+"_file", fmt.Errorf("%s is there as well; one of the two", t.key))
			continue
		}
		token, err := readToken(t.file)
		if *t.token = token; err != nil {
			report(t.key+"_file", err)
		}
	}
	if c.Token != "" && c.Token == c.ReadToken {
		key := "read_token"
		if c.ReadTokenFile != "" {
			key = "read_token_file"
		}
		report(key, errors.New("it is the same as token: whoever may read could command"))
	}
	switch {
	case (c.TLSCert == "") != (c.TLSKey == ""):
		for key, value := range map[string]string{"tls_cert": c.TLSCert, "tls_key": c.TLSKey} {
			if value != "" {
				report(key, errors.New("tls_cert and tls_key need each other"))
			}
		}
	case c.TLSCert != "":
		var err error
		if c.certificate, err = readPair(c.TLSCert, c.TLSKey); err != nil {
			report("tls_cert", err)
		}
	}
	if c.TLSCA != "" {
		var err error
		if c.authorities, err = readAuthorities(c.TLSCA); err != nil {
			report("tls_ca", err)
		}
	}
}

// Warnings are about what is legal in a configuration, but hardly intended.
func (c *Config) Warnings(source string) (warnings []string) {
	files := []string{c.TokenFile, c.ReadTokenFile, c.TLSKey}
	if c.Token != "" && c.TokenFile == "" || c.ReadToken != "" && c.ReadTokenFile == "" {
		files = append(files, source)
	}
	for _, file := range files {
		if info, err := os.Stat(file); file != "" && err == nil && info.Mode()&0o004 != 0 {
			warnings = append(warnings, fmt.Sprintf("%s holds a secret, and every user of this machine can read it", file))
		}
	}
	if c.certificate != nil && time.Now().After(c.certificate.Leaf.NotAfter) {
		warnings = append(warnings, fmt.Sprintf("the certificate in %s is out of date since %s",
			c.TLSCert, c.certificate.Leaf.NotAfter.UTC().Format(time.RFC3339)))
	}
	if c.Token == "" {
		warnings = append(warnings, "no token is set: everybody who can reach the address of this server may command it")
	}
	return warnings
}
