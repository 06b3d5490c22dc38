//go:build unix && !linux

package conn

import "net"

func limitUnsent(net.Conn) {}
