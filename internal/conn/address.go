package conn

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// lookupTime is how long the name in an address to listen on is looked up.
const lookupTime = 5 * time.Second

// CheckResolvable checks that the host of an address, if it is a name, has an address.
func CheckResolvable(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
	defer cancel()
	if _, err := net.DefaultResolver.LookupHost(ctx, host); err != nil {
		return fmt.Errorf("the name %q has no address: write an IP address of this machine, or none (\":80\")", host)
	}
	return nil
}

// IsForeign reports whether an address to listen on is an IP address that this machine does
// not have now. It may get it later, or be permitted to listen on it all the same (ip(7),
// ip_nonlocal_bind).
func IsForeign(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.IsUnspecified() || ip.IsLoopback() {
		return false
	}
	own, err := net.InterfaceAddrs()
	return err == nil && !slices.ContainsFunc(own, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr() == ip.WithZone("").Unmap()
	})
}
