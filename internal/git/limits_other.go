//go:build unix && !linux

package git

import "os"

func enlarge(*os.File)      {}
func lowerPriority(int)     {}
func machineMemory() uint64 { return 0 }

func spaceLeft(string) (uint64, bool) { return 0, false }
