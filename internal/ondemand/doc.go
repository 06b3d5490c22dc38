// Package ondemand makes mirrors at their first read.
//
// A [Rule] is a table of the configuration ([[ondemand]]): the names below its prefix are mirrors of
// what its template makes of the rest of the name. [Tables] finds the rule of a name. Both are values
// that never change.
//
// A [Maker] has a mirror made when somebody reads a name that has a rule and no mirror. All who ask
// for one name share one run. Runs wait in a fair line: who asks for a thousand names does not keep
// out who asks for one. What an origin has refused, and what has failed, is remembered for a moment,
// so that a crowd is answered without asking the origin again.
//
// A [Finder] finds the mirror that a reader asks for, and has it made if it is not there.
package ondemand
