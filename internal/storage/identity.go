package storage

import "strconv"

// Identity tells a directory from another one that has replaced it at the same path.
type Identity struct {
	device, inode uint64
	born          int64 // when it was created, in nanoseconds since the epoch; 0 if unknown
}

// String is equal for equal identities, and different for different ones on the same device.
func (i Identity) String() string {
	return strconv.FormatUint(i.inode, 36) + "-" + strconv.FormatInt(i.born, 36)
}
