package webhook

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/origin"
)

// Forge is a kind of forge, by whose rules a delivery is read.
type Forge string

const (
	GitHub    Forge = "github"
	GitLab    Forge = "gitlab"
	Gitea     Forge = "gitea"
	Forgejo   Forge = "forgejo"
	Bitbucket Forge = "bitbucket" // Cloud and Data Center
	Generic   Forge = "generic"   // a program of one's own
)

var forges = []Forge{GitHub, GitLab, Gitea, Forgejo, Bitbucket, Generic}

// parseForge parses the name of a forge.
func parseForge(s string) (Forge, error) {
	if !slices.Contains(forges, Forge(s)) {
		return "", fmt.Errorf("%q is no forge that is known: write one of %q", s, forges)
	}
	return Forge(s), nil
}

// Hook is one [[hook]] of the configuration: who may send deliveries to /x/hook/<name>.
type Hook struct {
	Name       string
	Forge      Forge
	SecretFile string
	Secret     access.Secret // read from SecretFile
	Create     bool          // a repository without a mirror gets one below an [[ondemand]] prefix
	URL        string        // of the forge, for payloads that name none; empty for none
}

// NewHook returns a hook with the defaults of a table.
func NewHook() Hook { return Hook{} }

// Find returns the hook of a name.
func Find(hooks []Hook, name string) (h Hook, ok bool) {
	if i := slices.IndexFunc(hooks, func(h Hook) bool { return h.Name == name }); i >= 0 {
		return hooks[i], true
	}
	return Hook{}, false
}

// maxName is the length of the longest name of a hook, in bytes.
const maxName = 64

// checkName checks the name of a hook, which becomes a part of a URL.
func checkName(s string) error {
	legal := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_", r)
	}
	if s == "" || len(s) > maxName || strings.ContainsFunc(s, func(r rune) bool { return !legal(r) }) {
		return fmt.Errorf("must have letters, digits, - and _ in it, %d at most", maxName)
	}
	return nil
}

// checkURL checks the URL of a forge.
func checkURL(s string) error {
	if s == "" {
		return nil
	}
	if o, err := origin.Parse(strings.TrimRight(s, "/")+"/a", false); err != nil || !strings.HasPrefix(o.String(), "http") || o.WithCredentials() != o.String() {
		return errors.New(`must be the forge's own URL, without a user: "https://git.example"`)
	}
	return nil
}

// Check checks a hook as a whole.
func (h Hook) Check() error {
	var wrong []error
	if h.Forge == "" {
		wrong = append(wrong, fmt.Errorf("lacks forge: one of %q", forges))
	}
	if h.SecretFile == "" {
		wrong = append(wrong, errors.New("lacks secret_file: who has no secret to sign with could order pulls"))
	}
	return errors.Join(wrong...)
}
