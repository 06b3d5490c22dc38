//go:build unix && !linux

package git

import "os"

func enlarge(*os.File)        {}
func limitMemory(int, uint64) {}
func lowerPriority(int)       {}

func spaceLeft(string) (uint64, bool) { return 0, false }
