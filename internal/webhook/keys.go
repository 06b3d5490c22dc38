package webhook

import (
	"errors"
	"fmt"
	"slices"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/tomlkeys"
)

// Keys are the keys of one [[hook]].
var Keys = tomlkeys.Keys[Hook]{
	tomlkeys.String("name", func(h *Hook) *string { return &h.Name }, checkName),
	tomlkeys.Words("forge", func(h *Hook, s string) (err error) {
		h.Forge, err = parseForge(s)
		return err
	}, func(h *Hook) string { return string(h.Forge) }),
	tomlkeys.Words("secret_file", func(h *Hook, s string) (err error) {
		h.SecretFile = s
		h.Secret, err = access.ReadSecret(s)
		return err
	}, func(h *Hook) string { return h.SecretFile }),
	tomlkeys.Bool("create", func(h *Hook) *bool { return &h.Create }),
	tomlkeys.String("url", func(h *Hook) *string { return &h.URL }, checkURL),
}

// maxHooks is how many hooks a configuration may have. Each of them has metrics of its own.
const maxHooks = 100

// Complete gives all hooks of a configuration their names: a hook is called as its forge, unless it has
// another name. tables says that there are tables by which mirrors can be made. The error joins what is
// wrong with the hooks beside each other ([tomlkeys.InTable]).
func Complete(hooks []Hook, tables bool) error {
	if len(hooks) > maxHooks {
		return fmt.Errorf("there are %d hooks; %d at most", len(hooks), maxHooks)
	}
	var wrong []error
	for i := range hooks {
		h := &hooks[i]
		if h.Name == "" {
			h.Name = string(h.Forge)
		}
		if slices.ContainsFunc(hooks[:i], func(other Hook) bool { return other.Name == h.Name }) {
			wrong = append(wrong, tomlkeys.InTable(i, "", fmt.Errorf("another hook has the name %q: give one of them another name", h.Name)))
		}
		if h.Create && !tables {
			wrong = append(wrong, tomlkeys.InTable(i, "create", errors.New("there is no [[ondemand]] below whose prefix mirrors could be made")))
		}
	}
	return errors.Join(wrong...)
}
