package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reconquest/sould/internal/git"
)

// Server is the whole of sould: one storage, one listening address, and the
// configuration in force.
type Server struct {
	configFile string // as named on the command line; empty for the default
	unsecure   bool
	log        *slog.Logger

	current  atomic.Pointer[settings]
	storage  *Storage
	mirrors  *Mirrors
	archives *Archives
	client   *http.Client // to other servers
	http     *http.Server

	life context.Context // of everything that goes on when its client is gone
	end  context.CancelCauseFunc
	work sync.WaitGroup // postings, recovery, serving of listeners

	reloading sync.Mutex // guards listener
	listener  *listener
	broken    chan error // why serving ended by itself
}

// Limits of connections.
const (
	headerTimeout = 10 * time.Second // to send a request's header
	idleTimeout   = 2 * time.Minute  // between requests
	writeTimeout  = time.Minute      // for a client to take in maxPiece bytes
	maxHeader     = 64 << 10         // bytes
	drainTime     = 30 * time.Second // for answers in flight at shutdown
	hangupTime    = 5 * time.Second  // for those answers to be written that shutdown cut short
)

// Start reads the configuration, takes possession of the storage, and serves.
func Start(ctx context.Context, configFile string, unsecure bool, log *slog.Logger) (*Server, error) {
	config, source, err := LoadConfig(configFile)
	if err != nil {
		return nil, err
	}
	version, err := git.New(git.Options{}).Version(ctx)
	if err != nil {
		return nil, err
	}
	s := &Server{
		configFile: configFile, unsecure: unsecure, log: log,
		client: newClient(), broken: make(chan error, 1),
	}
	s.life, s.end = context.WithCancelCause(context.Background())
	if s.storage, err = OpenStorage(ctx, config.Storage); err != nil {
		return nil, err
	}
	if s.listener, err = listen(config.Listen); err != nil {
		return nil, errors.Join(err, s.storage.Close())
	}
	s.mirrors = NewMirrors(s.life, s.storage, log)
	if s.archives, err = NewArchives(s.storage, config.CacheSize); err != nil {
		return nil, errors.Join(err, s.listener.Close(), s.storage.Close())
	}
	ahead := newAhead(s.archives, log)
	s.mirrors.changed = ahead.pulled
	s.use(newSettings(config, source, unsecure, s.storage.Leash))
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	s.work.Go(func() {
		if err := s.mirrors.Recover(s.settings()); err != nil {
			log.Error("can't look through the storage", errTree(err))
		}
	})
	s.work.Go(func() { ahead.run(s.life) })
	s.serve(s.listener)
	log.Info("started", "listen", s.Addr(), "role", s.settings().role(), "storage", s.storage.Dir,
		"config", source, "git", version)
	return s, nil
}

// settings are those in force now. A request loads them once.
func (s *Server) settings() *settings { return s.current.Load() }

// use puts settings in force.
func (s *Server) use(set *settings) {
	s.mirrors.places.resize(set.MaxFetches)
	s.archives.use(set)
	s.current.Store(set)
}

// Addr is the address that is listened on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// serve answers what comes to a listener until it is retired.
func (s *Server) serve(l *listener) {
	s.work.Go(func() {
		err := s.http.Serve(l)
		close(l.closed)
		if !l.retiring.Load() && !errors.Is(err, http.ErrServerClosed) {
			s.broken <- fmt.Errorf("serve %s: %w", l.Addr(), err)
		}
	})
}

// Reload puts the configuration in force that the file holds now, or, if
// anything is wrong with it, none of it.
func (s *Server) Reload() error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	config, source, err := LoadConfig(s.configFile)
	if err != nil {
		return err
	}
	old := s.settings()
	if config.Storage != old.Storage {
		return fmt.Errorf("%s: storage: can't change from %q to %q without a restart", source, old.Storage, config.Storage)
	}
	if config.Listen != old.Listen {
		if err := s.relisten(config.Listen); err != nil {
			return err
		}
	}
	s.use(newSettings(config, source, s.unsecure, s.storage.Leash))
	s.log.Info("reloaded", "listen", s.Addr(), "role", s.settings().role(), "config", source)
	return nil
}

// relisten moves to a new address. The new one is bound before the old one is
// given up, unless they are on one port; then the old one comes back if the new
// one cannot be had.
func (s *Server) relisten(to string) error {
	old := s.listener
	from := old.Addr().String()
	early := samePort(from, to)
	if early {
		old.retire()
	}
	l, err := listen(to)
	if err != nil && early {
		back, backErr := listen(from)
		if backErr != nil {
			s.broken <- fmt.Errorf("lost the address %s: %w", from, backErr)
			return errors.Join(err, backErr)
		}
		s.listener = back
		s.serve(back)
	}
	if err != nil {
		return err
	}
	s.listener = l
	s.serve(l)
	if !early {
		old.retire()
	}
	return nil
}

// Close ends the server: accept nothing more, let answers in flight finish, end
// git processes and what waits for them, let go of the storage. When hurry is
// closed, nothing is waited for.
func (s *Server) Close(hurry <-chan struct{}) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	s.log.Info("stopping", "reason", "signal")
	s.listener.retire()

	drain, stop := context.WithTimeout(context.Background(), drainTime)
	defer stop()
	go func() { // ends with drain
		select {
		case <-hurry:
			stop()
		case <-drain.Done():
		}
	}()
	if err := s.http.Shutdown(drain); err != nil {
		s.log.Warn("answers in flight are cut short", "after", drainTime)
	}
	s.end(errClosing)

	hangup, stop := context.WithTimeout(context.Background(), hangupTime)
	defer stop()
	select {
	case <-hurry:
		s.storage.Leash.Kill()
	default:
		_ = s.http.Shutdown(hangup)
	}
	err := errors.Join(s.http.Close(), s.archives.Close())
	s.work.Wait()
	s.mirrors.Wait()
	s.client.CloseIdleConnections()
	return errors.Join(err, s.storage.Close())
}

// newClient returns a client for other sould servers. Their answers are not
// followed elsewhere: net/http would send a form, credentials included, again.
func newClient() *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext,
			MaxIdleConnsPerHost: 8,
			IdleConnTimeout:     time.Minute, // less than a server's
		},
	}
}

// handler answers a request. An error that it returns is written by the caller;
// it must not have written anything itself then.
type handler func(w http.ResponseWriter, r *http.Request) error

// ServeHTTP answers every request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, allow := s.route(r.Method, r.URL.Path)
	if answer == nil {
		w.Header().Set("Allow", allow)
		answer = func(http.ResponseWriter, *http.Request) error {
			return fail(kindMethod, "%s is not for %s; allowed: %s", clip(r.Method, 40), clip(r.URL.Path, 200), allow)
		}
	}
	if err := answer(w, r); err != nil {
		s.writeError(w, r, err)
	}
}

// route finds who answers a method and a path. If nobody does, it returns the
// methods that the path takes.
func (s *Server) route(method, path string) (answer handler, allow string) {
	get := method == http.MethodGet || method == http.MethodHead
	first, _, _ := strings.Cut(strings.TrimLeft(path, "/"), "/")
	switch {
	case strings.Trim(path, "/") == "":
		if method == http.MethodPost {
			return s.handlePull, ""
		}
		return nil, "POST"
	case first == "x":
		return s.handleUnknown, ""
	case get:
		return s.handleTar, ""
	default:
		return nil, "GET, HEAD"
	}
}

func (s *Server) handleUnknown(_ http.ResponseWriter, r *http.Request) error {
	return fail(kindNotFound, "there is nothing at %s", clip(r.URL.Path, 200))
}
