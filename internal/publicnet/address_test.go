package publicnet

import (
	"errors"
	"net/netip"
	"testing"
)

func TestCheck(t *testing.T) {
	for address, public := range map[string]bool{
		"8.8.8.8": true, "140.82.121.4": true, "1.1.1.1": true, "172.15.255.255": true, "172.32.0.0": true, "100.63.255.255": true, "100.128.0.0": true,
		"223.255.255.255": true, "2606:4700::1111": true, "2a00:1450::1": true,

		"127.0.0.1": false, "127.255.255.254": false, "10.0.0.1": false, "172.16.0.1": false, "172.31.255.255": false, "192.168.1.1": false,
		"169.254.169.254": false, "100.64.0.1": false, "100.127.255.255": false, "0.0.0.0": false, "0.1.2.3": false,
		"224.0.0.1": false, "239.255.255.255": false, "255.255.255.255": false, "240.0.0.1": false,
		"192.0.0.170": false, "192.0.2.1": false, "198.18.0.1": false, "198.51.100.1": false, "203.0.113.1": false,

		"::": false, "::1": false, "fe80::1": false, "fe80::1%eth0": false, "2606:4700::1111%eth0": false, "febf::1": false, "fec0::1": false,
		"fc00::1": false, "fd12::1": false, "ff02::1": false, "2001:db8::1": false, "2001::1": false, "100::1": false, "4000::1": false, "::7f00:1": false,

		"::ffff:127.0.0.1": false, "::ffff:8.8.8.8": true, "::ffff:10.0.0.1": false, "::127.0.0.1": false,
		"64:ff9b::127.0.0.1": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b::8.8.8.8": true, "64:ff9b:1::8.8.8.8": false,
		"2002:7f00:1::": false, "2002:0808:0808::1": true, "2002:a9fe:a9fe::1": false,
	} {
		if err := Check(netip.MustParseAddr(address)); (err == nil) != public || err != nil && !errors.Is(err, ErrPrivate) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if Check(netip.Addr{}) == nil {
		t.Error("no address at all is public")
	}
}
