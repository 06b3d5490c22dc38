package credential

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reconquest/sould/internal/coalesce"
	"github.com/reconquest/sould/internal/limiter"
)

// Runner runs a command with an operation ("get", "erase") and this input, and returns what it has
// printed on its standard output. The error says why it failed, and contains nothing that it has printed.
type Runner func(ctx context.Context, command, operation string, input []byte) (output []byte, err error)

const (
	// maxRunning is how often one command runs at once. One that hangs keeps no other one waiting.
	maxRunning = 4

	// RunTime is how long a command may run.
	RunTime = 10 * time.Second

	// maxKept is how many logins are kept in memory.
	maxKept = 4096

	// keptTime is how long a login is kept that does not say when it expires, and longestKept how long
	// any is.
	keptTime, longestKept = 5 * time.Minute, 24 * time.Hour

	// margin is how long before it expires a login is no longer used, but a tenth of its time at most:
	// the server's clock may be another one, and a transfer takes its time.
	margin = time.Minute
)

// Error says why there are no credentials.
type Error struct {
	Server string // as the configuration names it
	err    error
}

func (e *Error) Error() string {
	if refused := (*refusal)(nil); errors.As(e.err, &refused) {
		return fmt.Sprintf("the origin refuses what the credential command of %s gives%s", e.Server, refused.how)
	}
	return fmt.Sprintf("the credential command of %s failed: %v", e.Server, e.err)
}

func (e *Error) Unwrap() error { return e.err }

// IsRefused reports whether an error says that a server has refused what a command gives.
func IsRefused(err error) bool { return errors.As(err, new(*refusal)) }

// IsNone reports whether an error says that a command has no credentials for a repository.
func IsNone(err error) bool { return errors.Is(err, errNone) }

// refusal is that a server has refused all that a command gives.
type refusal struct{ how string }

func (r *refusal) Error() string { return "refused" + r.how }

// Source gets credentials from commands. It is safe for concurrent use. A nil Source has no commands.
type Source struct {
	life     context.Context
	run      Runner
	runs     coalesce.Group[question, Login, Login]    // by what is erased first; zero for nothing
	erasures coalesce.Group[question, Login, struct{}] // of what was refused in the end

	given, failed atomic.Uint64

	mu       sync.Mutex // guards all below
	commands map[server]command
	places   map[server]*limiter.Limiter // of runs; that of a command that is gone stays
	kept     map[question]kept           // by server, user and scope
	waiting  map[question]int            // who waits for a run
}

// command is one of the configuration.
type command struct {
	name string // of its server, as it was written
	line string
}

// kept is a login in memory.
type kept struct {
	login Login
	until time.Time
}

// NewSource returns a Source without commands. Its runs end with life.
func NewSource(life context.Context, run Runner) *Source {
	return &Source{
		life: life, run: run, places: make(map[server]*limiter.Limiter), kept: make(map[question]kept), waiting: make(map[question]int),
	}
}

// Configure sets the commands, by the names of servers that [CheckCommand] takes. It forgets what a
// command gave that is another one now, or gone.
func (s *Source) Configure(commands map[string]string) {
	all := make(map[server]command, len(commands))
	for name, line := range commands {
		if at, err := parseServer(name); err == nil {
			all[at] = command{name, line}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for q := range s.kept {
		if all[q.server].line != s.commands[q.server].line {
			delete(s.kept, q)
		}
	}
	s.commands = all
	for at := range all {
		if s.places[at] == nil {
			s.places[at] = &limiter.Limiter{}
			s.places[at].Resize(maxRunning)
		}
	}
}

// Wait waits for all runs to end, after the end of the Source's life.
func (s *Source) Wait() {
	s.runs.Wait()
	s.erasures.Wait()
}

// Stats counts how often commands were asked for a login.
type Stats struct {
	Given, Failed uint64 // with one, and without
}

// Stats counts since the start.
func (s *Source) Stats() Stats {
	if s == nil {
		return Stats{}
	}
	return Stats{s.given.Load(), s.failed.Load()}
}

// Ask begins a conversation with the server of a repository. It returns nil if there is no command
// for that server. user is that of the repository's URL, or empty.
func (s *Source) Ask(u *url.URL, user string) *Asker {
	if s == nil || u == nil {
		return nil
	}
	q, err := newQuestion(u, user)
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.commands[q.server]
	if !ok || err != nil {
		return nil
	}
	return &Asker{source: s, question: q, name: c.name}
}

// known returns the login that is kept for a question, and not the one that was refused.
func (s *Source) known(q question, refused Login) (Login, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for scope := q.path; ; scope = parent(scope) {
		at := question{q.server, scope, q.user}
		if k, ok := s.kept[at]; ok {
			switch {
			case !time.Now().Before(k.until), k.login == refused:
				delete(s.kept, at)
			default:
				return k.login, true
			}
		}
		if scope == "" {
			return Login{}, false
		}
	}
}

// parent is the next shorter scope: "a/b" is in "a/", and that in "".
func parent(scope string) string {
	return scope[:strings.LastIndexByte(strings.TrimSuffix(scope, "/"), '/')+1]
}

// keep keeps the answer of a command until it expires. If there are too many, any other goes.
func (s *Source) keep(c command, q question, a answer, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.commands[q.server].line != c.line { // after a reload
		return
	}
	for other := range s.kept {
		if len(s.kept) < maxKept {
			break
		}
		delete(s.kept, other)
	}
	s.kept[question{q.server, a.scope, q.user}] = kept{a.login, until}
}

// useUntil says how long an answer can be used, which came now. ok is false if it has expired.
func (a answer) useUntil(now time.Time) (until time.Time, ok bool) {
	if a.expires.IsZero() {
		return now.Add(keptTime), true
	}
	left := min(a.expires.Sub(now), longestKept) // by the clock that nobody can set from here on
	return now.Add(left - min(margin, left/10)), left > 0
}

// get returns a login that is known or that the command gives, other than the one that was refused,
// if any was: the command is told to forget that. Whoever asks at the same time shares a run.
func (s *Source) get(ctx context.Context, q question, refused Login) (Login, error) {
	if login, ok := s.known(q, refused); ok {
		return login, nil
	}
	s.count(q, 1)
	defer s.count(q, -1)
	return s.runs.Do(ctx, q, refused, func() (Login, error) { return s.work(q, refused) })
}

// erase tells the command to forget a login, and asks for no other.
func (s *Source) erase(ctx context.Context, q question, refused Login) {
	s.known(q, refused) // forgets it here
	_, _ = s.erasures.Do(ctx, q, refused, func() (struct{}, error) {
		return struct{}{}, s.with(q, func(ctx context.Context, c command) error {
			_, err := s.run(ctx, c.line, "erase", q.text(refused))
			return err
		})
	})
}

func (s *Source) count(q question, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[q] += n; s.waiting[q] <= 0 {
		delete(s.waiting, q)
	}
}

// work is one run.
func (s *Source) work(q question, refused Login) (login Login, err error) {
	err = s.with(q, func(ctx context.Context, c command) error {
		var ok bool
		if login, ok = s.known(q, refused); ok { // another run has just brought it
			return nil
		}
		s.mu.Lock()
		forNobody := s.waiting[q] == 0
		s.mu.Unlock()
		if forNobody {
			return errors.New("nobody waits for it any more")
		}
		if !refused.IsZero() {
			_, _ = s.run(ctx, c.line, "erase", q.text(refused)) // its failure says nothing of the next login
		}
		login, err = s.fetch(ctx, c, q)
		return err
	})
	return login, err
}

// with calls f with the command for a question when there is a place for it to run.
func (s *Source) with(q question, f func(context.Context, command) error) error {
	s.mu.Lock()
	places := s.places[q.server]
	s.mu.Unlock()
	if err := places.Acquire(s.life, q.path); err != nil {
		return err
	}
	defer places.Release()
	s.mu.Lock()
	c := s.commands[q.server]
	s.mu.Unlock()
	if c.line == "" {
		return errors.New("it is no longer in the configuration")
	}
	ctx, cancel := context.WithTimeoutCause(s.life, RunTime, fmt.Errorf("no answer within %s", RunTime))
	defer cancel()
	return f(ctx, c)
}

// fetch asks a command for a login, and keeps it.
func (s *Source) fetch(ctx context.Context, c command, q question) (login Login, err error) {
	defer func() {
		if err == nil {
			s.given.Add(1)
		} else {
			s.failed.Add(1)
		}
	}()
	a, err := s.ask(ctx, c, q)
	if err != nil {
		return Login{}, err
	}
	until, ok := a.useUntil(time.Now())
	if !ok {
		return Login{}, fmt.Errorf("its answer has expired at %s", a.expires.UTC().Format(time.RFC3339))
	}
	s.keep(c, q, a, until)
	return a.login, nil
}

// ask asks a command about a repository, and then about its server: git's own helpers, and many others,
// compare the path, and do not find by it what they know of a whole server. What is told of the server
// is good for this repository, since another one may be known by its path.
func (s *Source) ask(ctx context.Context, c command, q question) (answer, error) {
	output, err := s.run(ctx, c.line, "get", q.text(Login{}))
	if err != nil {
		return answer{}, err
	}
	a, err := parseAnswer(q, output)
	if err != errNone || q.path == "" {
		return a, err
	}
	output, err = s.run(ctx, c.line, "get", q.ofServer().text(Login{}))
	if err != nil {
		return answer{}, err
	}
	a, err = parseAnswer(q, output)
	a.login.ofServer = err == nil
	return a, err
}
