// Package cluster talks to the other servers: it sends them requests, finds replicas of mirrors
// whose origin cannot be reached, and keeps the mirrors of all servers equal.
//
//	client.go       requests to other servers
//	itself.go       servers that turn out to be this very one
//	silent.go       servers that did not answer, and get less time to connect
//	peer.go         the status of one other server
//	slaves.go       the status of all slaves, for a master's status
//	fallback.go     replicas, for a pull whose origin cannot be reached
//	reconciler.go   compares this server with others, and removes the differences
//	compare.go      what differs (pure)
//	observer.go     what other servers have, for people who look
//	relation.go     how another server's mirror stands to the one here (pure)
//
// # Replicas
//
// All servers are asked at once what they have of the mirror. Then they are asked to pull from
// the origin: first the one that pulled last, and after two seconds without an answer the next
// one as well. The first that succeeds is a source like the origin. If none succeeds, the
// replica that was pulled last is taken, if it is newer than the mirror here; among replicas of
// the same age all servers choose the same one. A replica is as new as the moment, to the
// nanosecond, at which its server asked the origin: the end of a pull says nothing, since a pull
// may take long. So the servers' clocks must agree better than pushes follow each other. A server
// whose configuration selects other refs is no replica: the refs that it lacks would be deleted
// here.
//
// # Reconciliation
//
// Each other server of the configuration has a comparer. It requests the status with the ETag of
// the last one; if the answer is 304 and nothing has changed here, the comparison is over.
// Otherwise the fingerprints tell which mirrors a slave has missed (it is asked to pull), which
// ones a slave has pulled later (this server pulls), and which ones only a peer has (they are
// built here). A mirror that still differs is tried again after longer and longer pauses. If a
// mirror seems to be newer on a slave, and a pull here does not change that, the slave's one
// counts as stale, since a clock may be wrong. A slave that has missed a move is sent the former
// origin, which the mirror's own file names. A slave that has missed deletions which somebody
// accepted may carry them out as long as the origin has just what the master has. After a failed
// propagation the slave is compared within about a second.
//
// If an origin's host turns out to be down while many mirrors are built, the peer's content is
// taken for the other mirrors of that host, and nobody is asked to pull first.
//
// # Cascades
//
// A slave can be the master of further slaves: answers and statuses nest. The header Sould-Via
// lists the ids of the servers that a request has passed (an id lies in a server's storage); a
// server that finds its own id there passes the request no further. The header Sould-Request is
// the request's id: where masters point at each other, a server works on a request once, and
// answers a second copy at once. Redirects are never followed, and tokens go only to servers that
// the configuration names.
package cluster
