//go:build unix && !linux

package git

import (
	"math"
	"os"
)

func enlargePipe(*os.File)    {}
func lowerPriority(int)       {}
func limitMemory(int, uint64) {}
func ownMemory() uint64       { return math.MaxUint64 }
func machineMemory() uint64   { return 0 }

func spaceLeft(string) (uint64, bool) { return 0, false }
