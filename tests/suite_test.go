package tests

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// soak reports whether the suites run in their long form: "make soak" sets
// SOULD_SOAK. The short form is a sample of the same.
func soak() bool { return os.Getenv("SOULD_SOAK") != "" }

// shortOrLong chooses between the two forms.
func shortOrLong[V any](short, long V) V {
	if soak() {
		return long
	}
	return short
}

// seeded returns random numbers whose seed is in the log. SOULD_SEED repeats a run.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SOULD_SEED"); s != "" {
		seed = uint64(mustAtoi(t, s))
	}
	t.Logf("SOULD_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// holders are the processes that the daemon has started and that are alive: those
// that hold its leash.
func (d *daemon) holders() []int {
	d.t.Helper()
	leash, err := os.Stat(filepath.Join(d.storage, ".sould", "children"))
	if err != nil {
		d.t.Fatal(err)
	}
	var pids []int
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		pid := mustAtoi(d.t, strings.Split(fd, "/")[2])
		info, err := os.Stat(fd)
		if err == nil && os.SameFile(info, leash) && pid != d.cmd.Process.Pid && (len(pids) == 0 || pids[len(pids)-1] != pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// descriptors is how many files and connections the daemon has open.
func (d *daemon) descriptors() int {
	d.t.Helper()
	entries, err := os.ReadDir("/proc/" + strconv.Itoa(d.cmd.Process.Pid) + "/fd")
	if err != nil {
		d.t.Fatal(err)
	}
	return len(entries)
}

// kernel is a number from the daemon's /proc/<pid>/status, such as "Threads" or
// "VmRSS" (in kB).
func (d *daemon) kernel(key string) int {
	d.t.Helper()
	for line := range strings.Lines(read(d.t, "/proc/"+strconv.Itoa(d.cmd.Process.Pid)+"/status")) {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			return mustAtoi(d.t, strings.Fields(value)[0])
		}
	}
	d.t.Fatalf("the kernel tells no %s", key)
	return 0
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
