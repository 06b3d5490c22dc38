// Package why explains in plain sentences why a mirror is as it is.
//
// [Explain] is a pure function: whoever knows a mirror, its server and the other servers of the
// cluster fills in [Facts], and gets an [Answer]. It asks nobody and reads no clock, so that every
// situation is a row in a table of tests.
package why

import "time"

// Facts are what is known about a mirror. Words in it that come from elsewhere, such as errors, are
// lines without control characters and credentials.
type Facts struct {
	Now  time.Time
	Name string
	Base string // URL of this server as the reader calls it, such as "http://sould.local"; empty if it is not known

	// What a POST needs.
	Token bool // the server's token
	Slave bool // to go to the master, which has told this server of mirrors

	// Whether there is a mirror, and whether that can be told.
	Storage    string    // why the storage cannot be used; empty if it can
	Loading    bool      // the server still reads its storage
	Exists     bool      // there is a mirror of that name
	Unreadable string    // why it cannot be read; empty if it can
	Deleted    time.Time // when a mirror of that name was deleted last; zero for never

	// What it has, and from where.
	Origin         string    // without credentials; empty if it is not known
	OriginRefused  string    // why this server may not read the origin; empty if it may
	Gone           time.Time // when the origin was deleted, as GoneBy says; zero if it is there as far as is known
	GoneBy         string    // such as "the webhook github"
	Branch         string    // the default branch, a full ref name
	Revision       string    // its commit; empty if there is none
	Refs, Retained int       // how many
	Shallow        bool
	Warnings       []string // kinds of odd objects
	Keep           time.Duration

	// The latest pull.
	Outcome Outcome
	Pulled  time.Time // when the latest successful pull asked for refs; zero for never
	From    string    // the peer that it read; empty for the origin
	Failing time.Time // since when pulls fail; zero if the latest did not, or if that is not known
	Error   string    // of the latest pull, if it failed
	Runs    []Run     // the pulls that are running now

	// The poll.
	PollEvery  time.Duration // about how often its origin is looked at; 0 for never
	NextPoll   time.Time     // when it is looked at next
	LeftAlone  time.Time     // until when the origin's host has asked to be left alone; zero if it has not
	HookBroken time.Time     // since when changes come that nobody has announced; zero if they do not

	// Its objects.
	Damage  string    // what the last check has found; empty for nothing, or if the mirror was rebuilt since
	Checked time.Time // when all objects were last read; zero for never
	Rebuilt time.Time // when it was last rebuilt because of damage; zero for never

	// Who wants it.
	OnRead  bool   // a read makes the mirror, from Origin, if there is none
	Asked   Asking // the latest POST
	Refused Asking // the latest POST that was refused
	Made    Asking // the read that has made the mirror
	Own     bool   // the mirror is this server's own: nobody has POSTed it since a read has made it

	Demand Demand // of a mirror that a read has made

	// What happens next.
	NextTry     time.Time     // until when readers leave the origin alone; zero if they need not
	Fresh       bool          // a pull has succeeded since the server started
	NextLook    time.Time     // from when on a read looks at the origin again; zero if it is pulled for a POST alone
	NextRebuild time.Time     // before which a damaged mirror is not rebuilt again
	CheckEvery  time.Duration // 0 for never
	Repair      time.Duration // between two comparisons with another server; 0 for never
	Servers     []Server

	// Who is told of changes.
	Told   []Telling
	Untold bool // it has changed, and nobody is told before all servers have it so
}

// Telling is a URL that is told of changes, and what it was told of this mirror.
type Telling struct {
	URL   string    // without credentials
	At    time.Time // when it has last accepted something; zero for never
	Since time.Time // since when it is being told of a change; zero if it is not
	Error string    // why it has not accepted that yet; empty if it was not asked
}

// Outcome is how the latest pull ended.
type Outcome string

// The outcomes have the words of the status.
const (
	Never   Outcome = "unknown"
	Success Outcome = "success"
	Failed  Outcome = "failed"
)

// Run is a pull that is running.
type Run struct {
	Began time.Time
	Doing string // in words, such as "fetching"
}

// Asking is a request for the mirror. A zero At means that none is known.
type Asking struct {
	At    time.Time
	By    string // who sent it, such as "10.1.2.3"; empty if that is not known
	Words string // why it was refused; empty if it was not
}

// Server is another server of the cluster, and what it has of the mirror.
type Server struct {
	Address  string
	Slave    bool      // requests are passed on to it; otherwise it is a peer
	Relation Relation  // of its mirror to the one here
	Error    string    // why it could not be asked, or its own error about the mirror
	Since    time.Time // since when it cannot be asked; zero if it can
	Revision string
	Pulled   time.Time
	Next     time.Time // when it is compared with this server again; zero if that is not known
	NextTry  time.Time // when a difference of this mirror is tried again; zero for the next comparison
}

// Relation says how a mirror of another server stands to the one here.
type Relation string

const (
	Unasked Relation = "unknown" // it could not be asked, or not since the mirror here has changed
	Equal   Relation = "equal"
	Behind  Relation = "behind" // it has older content, or another origin
	Ahead   Relation = "ahead"
	Missing Relation = "missing" // it has no such mirror
	Removed Relation = "removed" // it has what was removed here
	Busy    Relation = "busy"    // it is pulling
	Other   Relation = "other"   // it differs, and nobody can say which is newer
	Apart   Relation = "apart"   // a read has made it: what other servers have is their own
)

// Level says how good or bad the state of something is.
type Level string

const (
	Good Level = "good"
	Work Level = "work" // something is being done
	Warn Level = "warn"
	Bad  Level = "bad"
	None Level = "none" // there is nothing
)

// Answer is the explanation.
type Answer struct {
	Headline string `json:"headline"`
	Level    Level  `json:"level"`
	Parts    []Part `json:"parts"`
}

// Part is what the answer says about one question.
type Part struct {
	Title     string   `json:"title"`
	Sentences []string `json:"sentences"`
}

// String renders the answer for a terminal.
func (a Answer) String() string {
	text := a.Headline + "\n"
	for _, part := range a.Parts {
		text += "\n" + part.Title + "\n"
		for _, sentence := range part.Sentences {
			text += "  " + sentence + "\n"
		}
	}
	return text
}
