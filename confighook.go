package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/tomlkeys"
	"github.com/reconquest/sould/internal/webhook"
)

// maxHooks is how many hooks a configuration may have. Each of them has metrics of its own.
const maxHooks = 100

// hookTables is the key of the forges that may send webhooks.
var hookTables = tomlkeys.Tables("hook", func(c *Config) *[]webhook.Hook { return &c.Hooks },
	func() webhook.Hook { return webhook.Hook{} }, hookKeys, webhook.Hook.Check)

// hookKeys are the keys of one of them.
var hookKeys = tomlkeys.Keys[webhook.Hook]{
	tomlkeys.String("name", func(h *webhook.Hook) *string { return &h.Name }, webhook.CheckName),
	tomlkeys.Words("forge", func(h *webhook.Hook, s string) (err error) {
		h.Forge, err = webhook.ParseForge(s)
		return err
	}, func(h *webhook.Hook) string { return string(h.Forge) }),
	tomlkeys.Words("secret_file", func(h *webhook.Hook, s string) (err error) {
		h.SecretFile = s
		h.Secret, err = access.ReadSecret(s)
		return err
	}, func(h *webhook.Hook) string { return h.SecretFile }),
	tomlkeys.Bool("create", func(h *webhook.Hook) *bool { return &h.Create }),
	tomlkeys.String("url", func(h *webhook.Hook) *string { return &h.URL }, webhook.CheckURL),
}

// nameHooks gives each hook its name, and reports what is wrong with all of them together.
func (c *Config) nameHooks(report func(key string, err error)) {
	if len(c.Hooks) > maxHooks {
		report("hook", fmt.Errorf("there are %d hooks; %d at most", len(c.Hooks), maxHooks))
		return
	}
	for i, h := range c.Hooks {
		h = h.Named()
		if slices.ContainsFunc(c.Hooks[:i], func(other webhook.Hook) bool { return other.Name == h.Name }) {
			report("hook", tomlkeys.InTable(i, "", fmt.Errorf("another hook has the name %q: give one of them another name", h.Name)))
		}
		if h.Create && len(c.OnDemand) == 0 {
			report("hook", tomlkeys.InTable(i, "create", errors.New("there is no [[ondemand]] below whose prefix mirrors could be made")))
		}
		c.Hooks[i] = h
	}
}

// hook returns the hook of a name.
func (c *Config) hook(name string) (h webhook.Hook, ok bool) {
	for _, h := range c.Hooks {
		if h.Name == name {
			return h, true
		}
	}
	return webhook.Hook{}, false
}
