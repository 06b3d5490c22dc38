package main

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// handleDelete is DELETE /<name>: a mirror is to go, here and on all slaves.
func (s *Server) handleDelete(w http.ResponseWriter, r *http.Request) error {
	set := s.settings()
	if err := crossOrigin.Check(r); err != nil {
		return fail(kindForbidden, "a browser sent this from another site: %w", err)
	}
	if set.Token == "" {
		return fail(kindForbidden, "nobody may remove a mirror as long as the configuration has no token")
	}
	name, err := ParseName(r.URL.Path)
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	via, err := parseVia(r.Header.Get(viaHeader))
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	// Who asks for another server wants a tombstone in any case.
	if len(via) == 0 && !s.mirrors.Deletable(set, name) {
		return errUnknownMirror
	}
	if r.Header.Get(peerHeader) != "" {
		via = append(via, s.id)
	}
	work := s.startDeletion(set, name, via)
	<-work.done // whether the client is still there or not
	s.upkeep.look()
	return writeReport(w, r, work.report())
}

// startDeletion starts the work, here and on all slaves at once.
func (s *Server) startDeletion(set *settings, name Name, via []string) *posting {
	p := &posting{
		req: pullRequest{Name: name}, began: time.Now(), done: make(chan struct{}),
		doing:   func() *progress { return s.mirrors.Progress(name) },
		outcome: outcome{State: stateProcessing},
	}
	var parts sync.WaitGroup
	if set.Master && !slices.Contains(via, s.id) {
		p.outcome.Slaves = make([]outcome, len(set.Slaves))
		for i, slave := range set.Slaves {
			p.outcome.Slaves[i] = outcome{Address: slave.String(), State: stateProcessing}
			parts.Go(func() {
				began := time.Now()
				o, err := askDelete(s.life, set, slave, name, append(slices.Clip(via), s.id))
				if err != nil {
					o = failed(err, time.Since(began)).passOn(set.secrets())
				}
				o.Address = slave.String()
				p.note(func(all *outcome) { all.Slaves[i] = o })
				if o.State == stateFailed {
					s.repairs.Missed(slave)
				}
			})
		}
	}
	parts.Go(func() {
		o := outcome{State: stateSuccess, Removed: true}
		if err := s.mirrors.Delete(s.life, set, name); err != nil {
			o = failed(err, 0)
		}
		o.Seconds = time.Since(p.began).Seconds()
		p.note(func(all *outcome) { o.Slaves = all.Slaves; *all = o })
	})
	s.work.Go(func() {
		parts.Wait()
		close(p.done)
		p.log(s.log)
	})
	return p
}

// askDelete has a slave remove its mirror.
func askDelete(ctx context.Context, set *settings, slave Address, name Name, via []string) (outcome, error) {
	path := (&url.URL{Path: "/" + name.String()}).EscapedPath()
	r, err := http.NewRequest(http.MethodDelete, slave.url+path, nil)
	if err != nil {
		return outcome{}, err
	}
	r.Header.Set(viaHeader, strings.Join(via, ", "))
	o, err := set.exchange(ctx, r, set.Timeout, set.secrets())
	o.Removed = o.State == stateSuccess
	return o, err
}
