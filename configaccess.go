package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/credential"
	"github.com/reconquest/sould/internal/ondemand"
	"github.com/reconquest/sould/internal/tomlkeys"
)

// secretKey is a key whose value is not shown. file is the key of the file from which the secret may
// be read instead.
func secretKey(name string, field func(*Config) *access.Secret, file func(*Config) *string) tomlkeys.Key[Config] {
	return tomlkeys.Words(name, func(c *Config, s string) error {
		*field(c) = access.Secret(s)
		if s == "" { // none
			return nil
		}
		_, err := access.ParseToken(s)
		return err
	}, func(c *Config) string {
		if *file(c) != "" {
			return ""
		}
		return field(c).String()
	}).WithoutVariable("every program that sould starts would have it, and so would who reads the unit or the container; " +
		"write it into a file, and set " + VariablePrefix + strings.ToUpper(name) + "_FILE")
}

// namesToken reports whether a text begins with a key that holds a token, or with a misspelt
// one.
func namesToken(words string) bool {
	words = strings.ToLower(strings.TrimLeft(words, " \t\"'\ufeff"))
	words = strings.TrimPrefix(words, "read_")
	return strings.HasPrefix(words, "token") && !strings.HasPrefix(words, "token_file")
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
			report(t.key+"_file", fmt.Errorf("%s is set as well: keep one of the two", t.key))
			continue
		}
		token, err := access.ReadToken(t.file)
		if *t.token = token; err != nil {
			report(t.key+"_file", err)
		}
	}
	if c.Token != "" && c.Token == c.ReadToken {
		key := "read_token"
		if c.ReadTokenFile != "" {
			key = "read_token_file"
		}
		report(key, errors.New("it is the same as token, so that whoever may read could also command: make another one"))
	}
	switch {
	case (c.TLSCert == "") != (c.TLSKey == ""):
		for key, value := range map[string]string{"tls_cert": c.TLSCert, "tls_key": c.TLSKey} {
			if value != "" {
				report(key, errors.New("tls_cert and tls_key need each other: set both, or none"))
			}
		}
	case access.CheckPath(c.TLSCert) != nil || access.CheckPath(c.TLSKey) != nil: // that was reported
	case c.TLSCert != "":
		var err error
		if c.certificate, err = access.ReadCertificate(c.TLSCert, c.TLSKey); err != nil {
			report("tls_cert", err)
		}
	}
	if err := credential.CheckServers(c.CredentialCommand); err != nil {
		report("credential_command", err)
	}
	if c.TLSCA != "" {
		var err error
		if c.authorities, err = access.ReadAuthorities(c.TLSCA); err != nil {
			report("tls_ca", err)
		}
	}
}

// loadNotify reads what those who are told of changes check the teller by, and whose certificates they may
// have.
func (c *Config) loadNotify(report func(key string, err error)) {
	switch {
	case c.NotifySecretFile != "":
		var err error
		if c.notifySecret, err = access.ReadToken(c.NotifySecretFile); err != nil {
			report("notify_secret_file", err)
		}
	case len(c.Notify) > 0:
		report("notify", errors.New("notify_secret_file is not set: what is sent is signed with the secret in it, or whoever receives it could not know who has sent it"))
	}
	if len(c.Notify) == 0 {
		return
	}
	trust, err := access.TrustAlso(c.CAFile, c.TLSCA)
	if err != nil {
		report("notify", err)
	}
	c.notifyTrust = trust
}

// Warnings are about what is legal in a configuration, but hardly intended.
func (c *Config) Warnings(source string) (warnings []string) {
	files := []string{c.TokenFile, c.ReadTokenFile, c.TLSKey, c.NotifySecretFile}
	if c.Token != "" && c.TokenFile == "" || c.ReadToken != "" && c.ReadTokenFile == "" {
		files = append(files, source)
	}
	for _, h := range c.Hooks {
		files = append(files, h.SecretFile)
		if h.Secret.IsWeak() {
			warnings = append(warnings, fmt.Sprintf("the secret of the hook %s can be guessed: make one of %d characters or more (openssl rand -hex 32), here and in the forge", h.Name, access.ShortestToken))
		}
	}
	for _, t := range c.Discover {
		files = append(files, t.TokenFile)
	}
	for _, file := range files {
		if info, err := os.Stat(file); file != "" && err == nil && info.Mode()&0o004 != 0 {
			warnings = append(warnings, fmt.Sprintf("%s holds a secret, and every user of this machine can read it: make it readable for sould alone (chmod 600)", file))
		}
	}
	if c.certificate != nil && time.Now().After(c.certificate.Leaf.NotAfter) {
		warnings = append(warnings, fmt.Sprintf("the certificate in %s has expired on %s: renew it, and reload",
			c.TLSCert, c.certificate.Leaf.NotAfter.UTC().Format(time.RFC3339)))
	}
	if len(c.Slaves) > 0 && !c.Master {
		warnings = append(warnings, "slaves are named, but this server is not their master, and passes nothing on to them: set master = true, or remove slaves")
	}
	for _, t := range c.Discover {
		if t.TokenFile != "" && strings.HasPrefix(t.URL, "http://") {
			warnings = append(warnings, fmt.Sprintf("the token in %s goes to %s without encryption: write https", t.TokenFile, t))
		}
	}
	if !access.IsAllowed(c.AllowHosts, c.PublicURL) && c.PublicURL != "" {
		warnings = append(warnings, fmt.Sprintf("links begin with %s (public_url), but allow_hosts does not name that host: whoever follows one gets a 421, unless the proxy calls this server by another name", c.PublicURL))
	}
	if conn.IsForeign(c.Listen) {
		warnings = append(warnings, fmt.Sprintf("no interface of this machine has the address of listen = %q now", c.Listen))
	}
	if (c.DenyPrivate || slices.ContainsFunc(c.OnDemand, func(r ondemand.Rule) bool { return r.DenyPrivate })) && namesProxy() {
		warnings = append(warnings, "deny_private is set, and the environment names a proxy: it is not used for origins that deny_private is for, which sould reaches itself")
	}
	if c.Token == "" {
		warnings = append(warnings, "no token is set: everybody who can reach the address of this server may command it")
	}
	return warnings
}

// namesProxy reports whether the environment names a proxy for http or https.
func namesProxy() bool {
	return slices.ContainsFunc([]string{"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"},
		func(name string) bool { return os.Getenv(name) != "" })
}
