package storage

import "strconv"

// Identity tells one directory from another that has taken its place.
type Identity struct {
	device, inode uint64
	born          int64 // nanoseconds; 0 if the file system does not tell
}

// String is equal for two identities on one device that are.
func (i Identity) String() string {
	return strconv.FormatUint(i.inode, 36) + "-" + strconv.FormatInt(i.born, 36)
}
