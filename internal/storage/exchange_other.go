//go:build unix && !linux

package storage

import "errors"

// exchange cannot be done in one step on this system.
func exchange(a, b string) error { return errors.ErrUnsupported }
