package main

import (
	"runtime"
	"sync"
)

// spareThreads is how many threads there are from the start. A program in Go ends when
// it cannot make one that it needs: a machine on which nothing can be started any more
// (ulimit -u, the TasksMax of a unit) would take a running server with it. The runtime
// keeps what it has, and so many are enough to serve what is there: a thread is needed
// for each call that the kernel does not answer at once, of a slow disk above all.
const spareThreads = 64

// reserveThreads has the runtime make threads. Each of its goroutines holds one until
// all of them are there.
func reserveThreads(n int) {
	var there, gone sync.WaitGroup
	release := make(chan struct{})
	there.Add(n)
	for range n {
		gone.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			there.Done()
			<-release
		})
	}
	there.Wait()
	close(release)
	gone.Wait()
}
