//go:build !linux

package lsrefs

import (
	"net"
	"time"
)

func unacked(*net.TCPConn) (time.Duration, bool) { return 0, false }
