// Package protocol has the documents, forms and headers that servers exchange, and decides how
// much of what another server says is believed.
//
//	request.go       what a request says: the form of a POST, the headers beside it
//	report.go        what became of a request, on one server and on those below it
//	answer.go        such a report, as another server sends it
//	status.go        what a server tells of itself
//	status_read.go   the same, as another server sends it
//	trace.go         the way that a request has come, and its id
//	foreign.go       bounds of all that is read from another server
//	address.go       where another server is
//
// Whatever another server sends is read part by part, bounded, and made fit to be shown as
// one's own: without control characters, without credentials, without what it was sent. Totals
// are counted anew. What goes wrong is an error in that server's place, and nobody else's.
package protocol
