package credential

import (
	"context"
	"errors"
	"slices"
)

// Asker is one conversation with a server that may want credentials. It is for one goroutine.
type Asker struct {
	source   *Source
	question question
	name     string // of the server, as the configuration has it
	login    Login  // what was sent last
	refused  int    // how many were refused
	sent     []Login
}

// Sent returns all logins that were returned up to now: what the server says may repeat them. Of a nil
// Asker there are none.
func (a *Asker) Sent() []Login {
	if a == nil {
		return nil
	}
	return a.sent
}

// Current returns what to send: what was got last, or what is in memory since the server has wanted
// it before. It is zero if there is nothing.
func (a *Asker) Current() Login {
	if a.login.IsZero() && a.refused == 0 {
		if login, ok := a.source.known(a.question, Login{}); ok {
			a.send(login)
		}
	}
	return a.login
}

// Next returns what to send after the server has refused the current login, or has wanted one. If
// a second one was refused, or the command fails, the error is an [*Error]. It waits for the command,
// but not longer than ctx.
func (a *Asker) Next(ctx context.Context) (Login, error) {
	login, err := a.next(ctx)
	if err == nil {
		a.send(login)
		return login, nil
	}
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		err = &unanswered{err}
	}
	return Login{}, &Error{a.name, err}
}

// send remembers what the caller will send.
func (a *Asker) send(login Login) {
	a.login = login
	if !slices.Contains(a.sent, login) {
		a.sent = append(a.sent, login)
	}
}

func (a *Asker) next(ctx context.Context) (Login, error) {
	refused := a.login
	a.login = Login{}
	if !refused.IsZero() {
		a.refused++
	}
	if a.refused > 1 {
		a.source.erase(ctx, a.question, refused)
		return Login{}, &refusal{", twice"}
	}
	login, err := a.source.get(ctx, a.question, refused)
	if err == nil && login == refused { // servers count attempts
		return Login{}, &refusal{", and it gives the same again"}
	}
	return login, err
}

// unanswered is that nobody can wait any longer for a command. The reason speaks of something else,
// such as the time for an origin's answer.
type unanswered struct{ reason error }

func (u *unanswered) Error() string { return "it has not answered yet" }
func (u *unanswered) Unwrap() error { return u.reason }
