// Package poll looks at the origins of mirrors from time to time, for changes that nobody announces.
//
//	period.go    how often a mirror is looked at, and at which moments
//	planner.go   who is looked at next
//	poller.go    the looks
//	hook.go      whether a change that a look has found was announced
//
// # When
//
// Each mirror has moments of its own: a grid with the mirror's period between them, which begins at a
// point that a hash of its name chooses. So looks are spread evenly, whenever mirrors are made and
// however long each look takes, and nobody has to remember anything. The period is the interval that
// is configured or, for a mirror that has not changed for long, a tenth of that time, up to twelve
// times the interval: by the heuristic of caches (RFC 9111, 4.2.2), which knows no better either. Any
// pull from the origin counts as a look. The clock that counts is the monotonic one.
//
// # Politeness
//
// There are few looks at one time, and fewer at one host. A host that asks to be left alone (the
// store knows that, since readers heed it as well) is left alone, with all its mirrors; one that does
// not answer, or is in trouble, is asked by one look at a time, with growing pauses. What was to be
// looked at meanwhile keeps its moments, and is not made up for, or the host would have all of it at
// once. A mirror that fails alone has growing pauses of its own.
package poll
