//go:build unix && !linux

package storage

import "errors"

// exchange cannot be done in one step on this system.
func exchange(a, b string) error { return errors.ErrUnsupported }

// renameFree would rename what has no other thing in its way.
func renameFree(from, to string) error { return errors.ErrUnsupported }
