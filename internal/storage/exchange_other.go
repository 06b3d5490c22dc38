//go:build unix && !linux

package storage

import "errors"

// exchange is not possible in one step on this system.
func exchange(a, b string) error { return errors.ErrUnsupported }

// renameFree is not possible in one step on this system.
func renameFree(from, to string) error { return errors.ErrUnsupported }
