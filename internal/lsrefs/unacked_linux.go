package lsrefs

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// giveUpUnacked has the kernel give up a connection when the other side has not acknowledged what
// was sent for so long (tcp(7), TCP_USER_TIMEOUT). Where that fails, the connection is as usual.
func giveUpUnacked(c *net.TCPConn, limit time.Duration) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit.Milliseconds()))
	})
}
