package main

// checking is what is known of the check that is running.
func (ms *Mirrors) isChecking(name Name) bool {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	return ms.checking == name
}
