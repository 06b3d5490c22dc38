//go:build unix && !linux

package storage

import "errors"

// exchange would make two directories change places in one step.
func exchange(a, b string) error { return errors.ErrUnsupported }
