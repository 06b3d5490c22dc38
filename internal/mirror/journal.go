package mirror

import (
	"slices"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/storage"
)

// Journal is what is remembered, until the server ends, of the requests for a name and of its pulls.
// What must survive a restart is in the state file: who asked for the content that is there, when
// it was pulled, and since when pulls fail.
type Journal struct {
	Asked   Asking // the latest request that was carried out
	Refused Asking // the latest one that was not
	Pulls   []Pull // the latest last
}

// Asking is a request for a mirror. Its At is zero if there was none.
type Asking struct {
	At    time.Time
	By    string // the sender's address, without its port
	Words string // why it was refused, one line; empty if it was not
}

// Pull is a pull that has ended, or several equal ones in a row: they failed in the same way, or
// brought nothing new.
type Pull struct {
	Began    time.Time     // of the latest
	First    time.Time     // of the earliest
	Times    int           // how many
	Took     time.Duration // the latest
	By       string        // who or what started the latest
	From     string        // the peer that was read; empty for the origin
	Changed  int           // refs created, moved or deleted
	Revision string        // of the default branch afterwards; empty if it failed or there is none
	Error    string        // why it failed, one line; empty if it succeeded
}

// Bounds of what is remembered.
const (
	maxPulls        = 10      // of a name
	maxJournals     = 16_384  // names
	maxJournalWords = 1 << 10 // bytes of an error, or of a refusal
)

// journals are those of all names. The zero value is ready for use.
type journals struct {
	mu     sync.Mutex // guards all below
	byName map[storage.Name]*Journal
}

// change changes the journal of a name. If there are too many, any other one is forgotten.
func (j *journals) change(name storage.Name, do func(*Journal)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	one := j.byName[name]
	if one == nil {
		if j.byName == nil {
			j.byName = make(map[storage.Name]*Journal)
		}
		for other := range j.byName {
			if len(j.byName) < maxJournals {
				break
			}
			delete(j.byName, other)
		}
		one = &Journal{}
		j.byName[name] = one
	}
	do(one)
}

// add adds a pull that has ended.
func (j *Journal) add(p Pull) {
	p.First, p.Times = p.Began, 1
	if n := len(j.Pulls); n > 0 {
		if last := &j.Pulls[n-1]; p.repeats(*last) {
			p.First, p.Times, p.Error = last.First, last.Times+1, last.Error
			*last = p
			return
		}
	}
	if j.Pulls = append(j.Pulls, p); len(j.Pulls) > maxPulls {
		j.Pulls = slices.Delete(j.Pulls, 0, 1)
	}
}

// repeats reports whether a pull did just what the one before did, and changed nothing.
func (p Pull) repeats(before Pull) bool {
	return p.Error == before.Error && p.From == before.From && p.Changed == 0 && before.Changed == 0 &&
		p.Revision == before.Revision
}

// Journal returns what is remembered of a name.
func (s *Store) Journal(name storage.Name) Journal {
	s.journals.mu.Lock()
	defer s.journals.mu.Unlock()
	one := s.journals.byName[name]
	if one == nil {
		return Journal{}
	}
	copied := *one
	copied.Pulls = slices.Clone(one.Pulls)
	return copied
}

// Refuse remembers that a request for a name was refused.
func (s *Store) Refuse(name storage.Name, by string, reason error) {
	s.journals.change(name, func(j *Journal) {
		j.Refused = Asking{time.Now(), by, errtext.Clip(errtext.Line(reason.Error()), maxJournalWords)}
	})
	s.generation.Add(name)
}

// recordPull remembers a pull that has ended. It reports whether the one before has ended in the same
// way, and has brought nothing new either.
func (s *Store) recordPull(req Request, began time.Time, result Result, err error) (repeats bool) {
	p := Pull{Began: began, Took: time.Since(began), By: req.By, Changed: result.Changed}
	if err != nil {
		p.Error = errtext.Clip(errtext.Line(err.Error()), maxJournalWords)
	} else if now := result.Snapshot; now != nil {
		p.From, p.Revision = now.From, now.Head.ID
	}
	s.journals.change(req.Name, func(j *Journal) {
		j.add(p)
		repeats = j.Pulls[len(j.Pulls)-1].Times > 1
	})
	return repeats
}
