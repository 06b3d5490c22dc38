package git

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// A remote that is Public may be at public addresses only. What its name resolves to is checked when
// somebody connects: in this process by the dialer, and for git by a proxy on a loopback address that
// git must use. So neither a redirect nor another answer of the DNS leads around the check, and nothing
// depends on how git's library reads a URL. No such proxy can be forced on ssh with any command that an
// operator may name (ssh_command), or on git's own protocol.

// errNotOverWeb is the error for a Public remote that no proxy guards.
var errNotOverWeb = errors.New("where only public addresses are permitted (deny_private), an origin is read over https or http alone: its host cannot be checked otherwise")

// checkPublic returns an error if a Public remote cannot be held to public addresses.
func (g *Git) checkPublic(r Remote) error {
	switch {
	case !r.Public:
		return nil
	case r.webURL() == nil:
		return errNotOverWeb
	case g.guard == nil:
		return errors.New("nobody checks the addresses of public remotes")
	default:
		return nil
	}
}

// runGuarded runs a command whose connections all go through the guard's proxy. What the environment
// says of proxies does not count.
func (g *Git) runGuarded(ctx context.Context, c command) error {
	pass, err := g.guard.Open()
	if err != nil {
		return err
	}
	defer pass.Close()
	c.public = false
	c.settings = append(slices.Clip(c.settings), "http.proxy", pass.URL, "http.proxyAuthMethod", "basic")
	c.env = append(slices.Clip(c.env), "no_proxy=", "NO_PROXY=")
	c.secrets = append(slices.Clip(c.secrets), pass.Secret)
	err = g.run(ctx, c)
	if refused := pass.Refused(); err != nil && refused != nil {
		return fmt.Errorf("%w: %w", refused, err)
	}
	return err
}
