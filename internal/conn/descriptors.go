package conn

import "golang.org/x/sys/unix"

// DescriptorLimit returns how many file descriptors this process may have.
func DescriptorLimit() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1 << 20
	}
	return uint64(limit.Cur)
}

// ListBound returns how many origins may be asked for their refs at the same time. Each takes several
// processes and descriptors.
func ListBound(descriptors uint64) int { return int(max(min(mostLists, descriptors/32), 2)) }

// ServerBound returns how many connections there may be to each of so many other servers.
func ServerBound(descriptors uint64, servers int) int {
	return int(max(min(mostToOthers, descriptors/8)/uint64(max(servers, 1)), 4))
}

// connectionBounds returns how many connections a process with so many descriptors may have, and
// how many archives it may send at the same time.
func connectionBounds(descriptors uint64) (connections int, sending int64) {
	return int(max(min(mostConnections, descriptors/8*3), 1)), int64(max(min(mostSending, descriptors/8), 1))
}
