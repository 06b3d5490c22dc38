package lsrefs

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// unacked is what the kernel knows of a connection.
func unacked(c *net.TCPConn) (limit time.Duration, known bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, false
	}
	err = raw.Control(func(fd uintptr) {
		ms, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
		limit, known = time.Duration(ms)*time.Millisecond, err == nil
	})
	return limit, known && err == nil
}
