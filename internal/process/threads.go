package process

import (
	"runtime"
	"sync"
)

// spareThreads is how many threads the process has from the start. The Go runtime ends the
// program when it cannot create a thread that it needs, so the server would die when the
// machine can start nothing more (ulimit -u, the TasksMax of a unit). The runtime never gives
// threads back, and this number is enough to go on serving: it needs a thread for each system
// call that takes long, above all on a slow disk.
const spareThreads = 64

// ReserveThreads makes the runtime create the threads that the process has from the start. Each of as many
// goroutines holds one until all of them have one.
func ReserveThreads() {
	var running, ended sync.WaitGroup
	release := make(chan struct{})
	running.Add(spareThreads)
	for range spareThreads {
		ended.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			running.Done()
			<-release
		})
	}
	running.Wait()
	close(release)
	ended.Wait()
}
