// Package protocol has the documents, forms and headers that servers exchange, and bounds what is
// believed of another server.
//
//	request.go       a request: the form of a POST, and the headers beside it
//	report.go        the outcome of a request, on one server and on those below it
//	progress.go      how far servers are, line by line
//	form.go          the forms of an answer with such lines
//	answer.go        reads such a report from another server
//	status.go        the status of a server
//	status_read.go   reads such a status from another server
//	trace.go         the servers that a request has passed, and its id
//	foreign.go       the bounds of all that is read from another server
//	address.go       the address of another server
//
// What another server sends is read part by part, within bounds, and made fit to be shown:
// without control characters, without credentials, and without the secrets that were sent to it.
// Totals are counted again. An error in it counts as an error of that server, and of no other.
package protocol
