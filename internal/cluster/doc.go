// Package cluster knows the other servers: how they are asked, who of them can stand in for an
// origin that is gone, and how what they have is kept the same as what is here.
//
//	client.go       requests to other servers
//	silent.go       those that have not answered, and are not waited for as long
//	peer.go         what another server tells of itself
//	slaves.go       all slaves at once, for a master's status
//	fallback.go     replicas, for a pull whose origin cannot be reached
//	reconciler.go   other servers compared with this one, and the difference removed
//	compare.go      what differs (pure)
//
// # Replicas
//
// All servers are asked at once what they have of the mirror. Then they are asked to pull from
// the origin: first who was the last to pull, and after two seconds without an answer the next
// one as well. The first that can is a source like the origin. If nobody can, what the latest
// has is better than nothing, if it is newer than what is here; among equally old ones all
// servers take the same. Which of two servers has the later content, the times tell at which
// they asked the origin, to the nanosecond: when a pull ended says nothing, since it may have
// taken long. So the servers' clocks must agree better than pushes follow each other. A server
// whose configuration selects other refs is not taken for the origin: what it lacks would be
// deleted here.
//
// # Reconciliation
//
// There is a comparer for each other server of the configuration. It asks for the status with
// the last ETag; as long as that is 304 and nothing has changed here, this is all. Otherwise
// fingerprints tell what a slave has missed (it is asked to pull), what a slave has pulled
// later (this server pulls), and what only a peer has (it is built here). What does not get
// better is tried again after longer and longer pauses; what seems to be newer there, and is
// not after a pull here, counts as stale, since a clock may be wrong. A slave that has missed
// moves is sent them: a mirror's file names the origins that it had. One that has missed
// deletions which somebody had accepted may carry them out as long as the origin has just what
// the master has. A propagation that has failed has the slave compared after about a second.
//
// When many mirrors are built and an origin's host has turned out to be down, what the peer
// has is taken for the others of that host without asking anybody to pull first.
//
// # Cascades
//
// A slave can be a master of further slaves: answers and statuses nest. The header Sould-Via
// names the servers that a request came through, by ids that lie in their storages: one that
// comes round again goes no further. The header Sould-Request is its id: where masters point at
// each other, a server works on it once, and answers a second copy at once. Answers of other servers are never followed elsewhere,
// and tokens go only to servers that the configuration names.
package cluster
