package conn

import (
	"net"

	"golang.org/x/sys/unix"
)

// maxUnsent is how many unsent bytes the kernel buffers for a connection
// (TCP_NOTSENT_LOWAT). Without a limit it buffers megabytes, and a client that reads slowly looks
// like one that does not read at all.
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
