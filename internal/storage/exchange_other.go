//go:build unix && !linux

package storage

import "errors"

// exchange would make two directories change places in one step.
func exchange(a, b string) error { return errors.ErrUnsupported }

// renameFree would rename what has no other thing in its way.
func renameFree(from, to string) error { return errors.ErrUnsupported }
