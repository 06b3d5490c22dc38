package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"io"
	"net/http"
	"strings"

	"github.com/reconquest/sould/internal/access"
)

// signature checks whether a delivery comes from somebody who knows a secret. The body has to be written
// to it. What it compares, it compares in a time that does not depend on the secret.
type signature struct {
	mac      hash.Hash
	payload  hash.Hash     // of what a form holds; nil if the body is none, or the forge does not sign that
	claimed  [][]byte      // what the mac may be, as the delivery says
	token    string        // what the delivery shows instead of a mac
	expected access.Secret // the token that it must be; empty for none
}

// hexHeaders are the headers in which forges sign by HMAC-SHA256 in hexadecimal digits, the first that
// is there counts; some put "sha256=" in front.
//
//   - GitHub: docs.github.com, "Validating webhook deliveries"
//   - Gitea: docs.gitea.com, "Webhooks"; Forgejo: forgejo.org/docs, "Webhooks"
//   - Bitbucket: "Secure webhooks" for the Cloud, "Manage webhooks" for the Data Center
var hexHeaders = map[Forge][]string{
	GitHub:    {"X-Hub-Signature-256"},
	Gitea:     {"X-Gitea-Signature", "X-Hub-Signature-256"},
	Forgejo:   {"X-Forgejo-Signature", "X-Gitea-Signature", "X-Hub-Signature-256"},
	Bitbucket: {"X-Hub-Signature"},
	Generic:   {"X-Hub-Signature-256"},
}

// signsPayload are the forges that sign the JSON also where they send a form, as Gitea's source says
// (services/webhook/deliver.go), and Forgejo's, which was made of it. GitHub signs what it sends.
var signsPayload = map[Forge]bool{Gitea: true, Forgejo: true}

// Headers of GitLab: docs.gitlab.com, "Webhooks". A secret token is sent as it is; a signing token,
// which begins with whsec_, signs as the Standard Webhooks specification says.
const (
	tokenHeader     = "X-Gitlab-Token"
	signingPrefix   = "whsec_"
	idHeader        = "Webhook-Id"
	timeHeader      = "Webhook-Timestamp"
	signatureHeader = "Webhook-Signature"
)

// maxSignatures bounds the signatures in one header, of which a forge sends two while it changes a key.
const maxSignatures = 4

// newSignature reads what a delivery says of its sender. The error is an *Error of kind Unsigned.
func newSignature(f Forge, secret access.Secret, h http.Header) (*signature, error) {
	if f == GitLab {
		return newGitLabSignature(secret, h)
	}
	s := &signature{mac: hmac.New(sha256.New, []byte(secret))}
	for _, name := range hexHeaders[f] {
		value := h.Get(name)
		if value == "" {
			continue
		}
		value = strings.TrimPrefix(value, "sha256=")
		if mac, err := hex.DecodeString(value); err == nil && len(mac) == sha256.Size {
			s.claimed = append(s.claimed, mac)
		}
		return s, nil
	}
	return nil, fail(Unsigned, "the delivery is not signed: it has no header %s; does the hook of the forge have a secret?", hexHeaders[f][0])
}

func newGitLabSignature(secret access.Secret, h http.Header) (*signature, error) {
	key, signs := strings.CutPrefix(string(secret), signingPrefix)
	if !signs {
		s := &signature{mac: hmac.New(sha256.New, []byte(secret)), token: h.Get(tokenHeader), expected: secret}
		if s.token == "" {
			return nil, fail(Unsigned, "the delivery has no header %s; does the webhook in GitLab have a secret token?", tokenHeader)
		}
		return s, nil
	}
	binary, err := base64.StdEncoding.DecodeString(key)
	if err != nil || len(binary) == 0 {
		return nil, fail(Unsigned, "the secret begins with %s, but no key in base64 follows", signingPrefix)
	}
	s := &signature{mac: hmac.New(sha256.New, binary)}
	s.mac.Write([]byte(h.Get(idHeader) + "." + h.Get(timeHeader) + "."))
	for i, one := range strings.Fields(h.Get(signatureHeader)) {
		encoded, ok := strings.CutPrefix(one, "v1,")
		if mac, err := base64.StdEncoding.DecodeString(encoded); ok && err == nil && i < maxSignatures {
			s.claimed = append(s.claimed, mac)
		}
	}
	if len(s.claimed) == 0 {
		return nil, fail(Unsigned, "the delivery is not signed: it has no header %s; does the webhook in GitLab have a signing token?", signatureHeader)
	}
	return s, nil
}

// Write takes in a piece of the body.
func (s *signature) Write(p []byte) (int, error) { return s.mac.Write(p) }

// ofForm returns what the JSON of a form has to be written to.
func (s *signature) ofForm(f Forge, secret access.Secret) io.Writer {
	if !signsPayload[f] {
		return io.Discard
	}
	s.payload = hmac.New(sha256.New, []byte(secret))
	return s.payload
}

// isRight reports whether the whole body, which was written, comes from who knows the secret.
func (s *signature) isRight() bool {
	if s.expected != "" {
		return s.expected.Is(s.token)
	}
	right := false
	for _, mac := range []hash.Hash{s.mac, s.payload} {
		for _, claimed := range s.claimed {
			right = mac != nil && hmac.Equal(mac.Sum(nil), claimed) || right
		}
	}
	return right
}
