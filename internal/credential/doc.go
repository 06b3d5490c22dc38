// Package credential gets credentials for http and https servers from commands, which speak the
// protocol of git's credential helpers (gitcredentials(7), git-credential(1)): tokens of forges and
// clouds that expire, for example.
//
// A [Source] has the commands, one for each server, and runs them rarely: whoever needs the same
// credentials shares one run, and what a command gives is kept in memory until it expires. Nothing
// is written to a disk. An [Asker] is one conversation with a server: it sends what is known, and if
// the server refuses that, the command is told (erase) and asked once more.
//
//	Asker ──Current──▶ kept in memory?
//	      ──Next─────▶ (erase what was refused) ──▶ get ──▶ kept until it expires
//
// Operation "store" is never used: what a command has given it knows.
//
// The package starts no process: the caller passes a [Runner]. No error contains what a command has
// printed: whoever reads a mirror may see it.
package credential
