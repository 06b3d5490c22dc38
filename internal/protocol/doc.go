// Package protocol defines what sould's servers say to clients and to each other: the form of a
// POST and the headers that go with it, the report that answers it, and the status. It reads
// what other servers send within bounds, since they may be of another version or broken.
package protocol
