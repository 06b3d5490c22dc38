package lsrefs

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// giveUpUnacked has the kernel close a connection if what was sent is not acknowledged within
// limit (TCP_USER_TIMEOUT in tcp(7)). If that cannot be set, the connection works all the same.
func giveUpUnacked(c *net.TCPConn, limit time.Duration) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit.Milliseconds()))
	})
}
