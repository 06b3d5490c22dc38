// Package publicnet connects to public addresses of the internet only. A name that strangers choose,
// or a server that redirects, must not lead a program into the network that it runs in: to itself, to
// machines beside it, or to the address at which clouds tell secrets (169.254.169.254).
//
// What a name resolves to is checked when a connection is made, and not before: between a check and a
// connection the answer of the DNS may change. A [Guard] does that for connections of this process
// ([Guard.Dial]), and is a proxy for programs that connect by themselves ([Guard.Open]).
package publicnet

import (
	"errors"
	"fmt"
	"net/netip"
)

// ErrPrivate means that an address is none of the public internet.
var ErrPrivate = errors.New("deny_private permits public addresses only")

// private are the ranges that are not for the public internet, by the registries of IANA for special
// addresses (RFC 6890), with what people call them. The first one that has an address counts.
var private = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "an unspecified address"},
	{netip.MustParsePrefix("10.0.0.0/8"), "a private address"},
	{netip.MustParsePrefix("100.64.0.0/10"), "an address of a provider's own network"},
	{netip.MustParsePrefix("127.0.0.0/8"), "a loopback address"},
	{netip.MustParsePrefix("169.254.0.0/16"), "a link-local address"},
	{netip.MustParsePrefix("172.16.0.0/12"), "a private address"},
	{netip.MustParsePrefix("192.0.0.0/24"), "a reserved address"},
	{netip.MustParsePrefix("192.0.2.0/24"), "an address for documents"},
	{netip.MustParsePrefix("192.88.99.0/24"), "a reserved address"},
	{netip.MustParsePrefix("192.168.0.0/16"), "a private address"},
	{netip.MustParsePrefix("198.18.0.0/15"), "an address for benchmarks"},
	{netip.MustParsePrefix("198.51.100.0/24"), "an address for documents"},
	{netip.MustParsePrefix("203.0.113.0/24"), "an address for documents"},
	{netip.MustParsePrefix("224.0.0.0/4"), "a multicast address"},
	{netip.MustParsePrefix("240.0.0.0/4"), "a reserved address"},

	{netip.MustParsePrefix("::/128"), "an unspecified address"},
	{netip.MustParsePrefix("::1/128"), "a loopback address"},
	{netip.MustParsePrefix("2001::/23"), "a reserved address"}, // Teredo, ORCHID, benchmarks
	{netip.MustParsePrefix("2001:db8::/32"), "an address for documents"},
	{netip.MustParsePrefix("3fff::/20"), "an address for documents"},
	{netip.MustParsePrefix("fc00::/7"), "a private address"},
	{netip.MustParsePrefix("fe80::/10"), "a link-local address"},
	{netip.MustParsePrefix("fec0::/10"), "a private address"},
	{netip.MustParsePrefix("ff00::/8"), "a multicast address"},
}

// embedding are the ranges of IPv6 whose addresses stand for one of IPv4, with the place of its four
// bytes: those of NAT64 (RFC 6052) and of 6to4 (RFC 3056).
var embedding = []struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},
	{netip.MustParsePrefix("2002::/16"), 2},
}

// global is what IANA gives out of IPv6. All else is for other uses.
var global = netip.MustParsePrefix("2000::/3")

// Check returns why an address is none of the public internet, as an ErrPrivate, or nil. An IPv6
// address that stands for one of IPv4 is as public as that.
func Check(a netip.Addr) error {
	if what := describe(a.Unmap()); what != "" {
		return fmt.Errorf("%w, and %s is %s", ErrPrivate, a, what)
	}
	return nil
}

// describe returns what a private address is, or "" for a public one.
func describe(a netip.Addr) string {
	if !a.IsValid() || a.Zone() != "" {
		return "an address of one link"
	}
	for _, e := range embedding {
		if e.prefix.Contains(a) {
			bytes := a.As16()
			return describe(netip.AddrFrom4([4]byte(bytes[e.at : e.at+4])))
		}
	}
	for _, p := range private {
		if p.prefix.Contains(a) {
			return p.what
		}
	}
	if a.Is6() && !global.Contains(a) {
		return "a reserved address"
	}
	return ""
}
