package tests

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
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

// goroutines ends the daemon with SIGQUIT, upon which the runtime shows all goroutines, and
// returns how many there were of each kind: by the function of sould that they are in
// first, or else by the place that has made them. The runtime's own are left out.
func (d *daemon) goroutines() map[string]int {
	d.t.Helper()
	d.signal(syscall.SIGQUIT)
	<-d.exited
	_, dump, _ := strings.Cut(d.log.String(), "SIGQUIT: quit")
	kinds := make(map[string]int)
	for one := range strings.SplitSeq(dump, "\n\n") {
		kind := ""
		for line := range strings.Lines(one) {
			if place, ok := strings.CutPrefix(line, "created by "); ok && kind == "" {
				kind, _, _ = strings.Cut(strings.TrimSpace(place), " in goroutine")
			} else if function, ok := strings.CutPrefix(line, "main."); ok {
				kind, _, _ = strings.Cut(function, "({") // the lowest one
				kind, _, _ = strings.Cut(kind, "(0x")
				kind = strings.TrimSuffix(strings.TrimSpace(kind), "()")
			}
		}
		if strings.HasPrefix(one, "goroutine ") && kind != "" && !strings.HasPrefix(kind, "runtime.") {
			kinds[kind]++
		}
	}
	if len(kinds) == 0 {
		d.t.Fatalf("the daemon shows no goroutines:\n%s", d.log)
	}
	return kinds
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
