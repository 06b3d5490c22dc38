//go:build unix && !linux

package git

import "os"

func enlarge(*os.File)        {}
func limitMemory(int, uint64) {}
func lowerPriority(int)       {}
