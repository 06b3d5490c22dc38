package conn

import (
	"net"

	"golang.org/x/sys/unix"
)

// maxUnsent is how much the kernel takes for a connection before it can be sent, in
// bytes. Without a limit it takes megabytes, and nobody can tell a client that reads
// slowly from one that does not read at all.
const maxUnsent = 256 << 10

func limitUnsent(c net.Conn) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent) })
	}
}
