package storage

import "strconv"

// Identity tells a directory from another one that has replaced it at the same path.
type Identity struct {
	device, inode uint64
	born          int64 // nanoseconds since the epoch; 0 if the file system does not tell
}

// String writes an identity. On one device, equal identities have equal texts, and different
// ones different texts.
func (i Identity) String() string {
	return strconv.FormatUint(i.inode, 36) + "-" + strconv.FormatInt(i.born, 36)
}
