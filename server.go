package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/conditional"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/credential"
	"github.com/reconquest/sould/internal/discover"
	"github.com/reconquest/sould/internal/download"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/logging"
	"github.com/reconquest/sould/internal/metrics"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/poll"
	"github.com/reconquest/sould/internal/propagate"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/publicnet"
	"github.com/reconquest/sould/internal/requestlog"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/systemd"
	"github.com/reconquest/sould/internal/uploadpack"
	"github.com/reconquest/sould/internal/webhook"
)

// Server is the whole of sould: one storage, one listening address, and the
// configuration in force.
type Server struct {
	configFile string // as named on the command line; empty for the default
	unsecure   bool
	log        *logging.Log

	current   atomic.Pointer[settings]
	id        string // tells this server from others
	dir       *storage.Dir
	guard     *publicnet.Guard // of origins that must be at public addresses
	mirrors   *mirrors
	poller    *poll.Poller
	logins    *credential.Source // to origins
	discovery *discover.Runner
	downloads *download.Sender
	hooks     *webhook.Receiver
	clones    *uploadpack.Service // git clients
	commands  cluster.Commands[*propagate.Propagation]
	version   string
	git       string // the version of git at the start
	epoch     string // tells this start from others
	metrics   *metrics.Metrics
	scrapes   limiter.Slots // clients that are sent the metrics
	manifests limiter.Slots // clients that are sent the manifest
	closing   chan struct{} // closed when the server begins to stop
	stopping  atomic.Bool
	http      *http.Server
	conns     *conn.Limiter

	sent     metrics.Sent
	rejected metrics.Rejected

	life context.Context // of everything that goes on when its client is gone
	end  context.CancelCauseFunc
	work sync.WaitGroup // the poller

	handling sync.RWMutex // held for reading by every handler
	closed   bool         // guarded by handling

	reloading sync.Mutex // guards listeners
	listeners *conn.Listeners
}

// Limits of connections.
const (
	headerTimeout = 10 * time.Second // to send a request's header
	idleTimeout   = 2 * time.Minute  // between requests
	leftoverTime  = time.Second      // to send the rest of a body that nobody reads
	maxHeader     = 16 << 10         // bytes
	newcomerTime  = time.Second      // for the requests of connections that have just come, at shutdown
	drainTime     = 30 * time.Second // for answers in flight at shutdown
	hangupTime    = 5 * time.Second  // for those answers to be written that shutdown cut short
)

// Start reads the configuration, takes possession of the storage, and serves.
func Start(ctx context.Context, configFile string, unsecure bool, log *logging.Log) (*Server, error) {
	config, source, err := LoadConfig(configFile, checkStart)
	if err != nil {
		return nil, err
	}
	log.Configure(config.logOptions())
	gitVersion, err := checkGit(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := storage.Open(ctx, config.Storage)
	if err != nil {
		return nil, fmt.Errorf("%s: storage: %w", source, err)
	}
	listeners, err := openListeners(&config)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: listen: %w", source, err), dir.Close())
	}
	if err := dir.RemoveLeftovers(); err != nil {
		log.Error("can't remove what an interrupted daemon has left", "err", err)
	}
	for _, kept := range dir.Survivors {
		log.Warn("what an interrupted daemon was replacing is kept, because something else has its place now", "to", kept)
	}
	s := newServer(configFile, unsecure, log, dir, listeners)
	s.git = gitVersion
	set := newSettings(config, source, unsecure, dir, s.logins, s.guard)
	if err := s.wire(set); err != nil {
		return nil, errors.Join(err, listeners.Close(), dir.Close())
	}
	s.mirrors.run()
	s.work.Go(func() { s.poller.Run(s.life) })
	s.discovery.Configure(set.discoverOptions())
	s.listeners.Serve(func() *tls.Config { return s.settings().tls }, s.http.Serve)
	s.logListening("started", "role", set.role(), "storage", dir.Path,
		"config", set.Sources(source), "git", gitVersion)
	s.warn(nil)
	return s, nil
}

// openListeners listens where the configuration says, and on the sockets that the service manager has
// opened.
func openListeners(config *Config) (*conn.Listeners, error) {
	sockets, err := systemd.Sockets()
	if err != nil {
		return nil, err
	}
	return conn.NewListeners(config.address(len(sockets) > 0), sockets...)
}

// newServer makes a server of a storage that is ours and of an address that is bound.
func newServer(configFile string, unsecure bool, log *logging.Log, dir *storage.Dir, listeners *conn.Listeners) *Server {
	s := &Server{
		configFile: configFile, unsecure: unsecure, log: log, id: dir.ID, dir: dir, listeners: listeners,
		guard:   publicnet.New(publicnet.Check),
		version: version(), epoch: rand.Text(), closing: make(chan struct{}),
		conns:    conn.NewLimiter(conn.DescriptorLimit()),
		rejected: newRejected(),
	}
	s.life, s.end = context.WithCancelCause(context.Background())
	s.logins = git.NewCredentials(s.life, dir.Leash)
	s.http = &http.Server{
		Handler:           s,
		ConnState:         s.conns.ConnState,
		ConnContext:       s.conns.ConnContext,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),

		DisableGeneralOptionsHandler: true, // it asks neither for the host nor for a token
	}
	return s
}

// wire gives a server its first settings, its mirrors, and what looks at them.
func (s *Server) wire(set *settings) (err error) {
	s.current.Store(set)
	s.logins.Configure(set.CredentialCommand)
	if s.mirrors, err = newMirrors(s.life, s.dir, s.epoch, s.version, s.log.Logger, set, s.settings); err != nil {
		return err
	}
	s.downloads = &download.Sender{
		Archives: s.mirrors.archives, Prefetcher: s.mirrors.prefetch, Packs: s.mirrors.packs, Conns: s.conns,
		Log: s.log.Logger, Life: s.life,
		Sent: download.Counters{Archives: &s.sent.Archives, Bundles: &s.sent.Bundles, Unmodified: &s.sent.Unmodified},
	}
	s.clones = uploadpack.New(uploadpack.Parts{
		Incoming: s.dir.Own("incoming"), Packs: s.mirrors.packs, Conns: s.conns, Sent: &s.sent.Packs,
		Log: s.log.Logger, Life: s.life, Find: s.find,
	})
	s.poller = poll.New(poll.Parts{Store: s.mirrors.store, Log: s.log.Logger, Changed: s.tellSlaves}, set.pollOptions())
	s.mirrors.insight.Poller = s.poller
	s.discovery = s.newDiscovery()
	s.hooks = s.newHooks()
	s.metrics = newMetrics(s)
	return nil
}

// newDiscovery makes what looks for new repositories, and shows it to those who tell of it.
func (s *Server) newDiscovery() *discover.Runner {
	runner := discover.NewRunner(s.life, discover.Parts{
		Dir: s.dir, Store: s.mirrors.store, Log: s.log.Logger, Begin: s.commandHere,
		Told: func() bool { return cluster.IsToldOfAny(s.mirrors.store) },
	})
	s.mirrors.status.Discovery, s.mirrors.insight.Discovery = runner, runner
	return runner
}

// settings are those in force now. A request loads them once.
func (s *Server) settings() *settings { return s.current.Load() }

// logListening tells the log where the server listens, and more.
func (s *Server) logListening(message string, more ...any) {
	at := []any{"listen", s.listeners.Addr().String()}
	if others := s.listeners.Others(); len(others) > 0 {
		at = append(at, "sockets", strings.Join(others, " "))
	}
	s.log.Info(message, append(at, more...)...)
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
	activated := s.listeners.HavePassed()
	if address := config.address(activated); address != old.address(activated) {
		if err := s.listeners.Move(address); err != nil {
			return fmt.Errorf("%s: listen: %w", source, err)
		}
	}
	set := newSettings(config, source, s.unsecure, s.dir, s.logins, s.guard)
	s.log.Configure(set.logOptions())
	s.current.Store(set)
	s.logins.Configure(set.CredentialCommand)
	s.mirrors.configure(set)
	s.poller.Configure(set.pollOptions())
	s.discovery.Configure(set.discoverOptions())
	old.git.CloseIdle()
	s.clones.Forget() // after the store, whose git is asked: there may be another one
	s.logListening("reloaded", "role", set.role(), "config", set.Sources(source))
	s.warn(old)
	return nil
}

// warn tells the log what is doubtful in the settings in force, and was not in the old
// ones.
func (s *Server) warn(old *settings) {
	var known []string
	if old != nil {
		known = old.warnings
	}
	for _, warning := range s.settings().warnings {
		if !slices.Contains(known, warning) {
			s.log.Warn(warning)
		}
	}
}

// Close ends the server: accept nothing more, let answers in flight finish, end
// git processes and what waits for them, let go of the storage. When hurry is
// closed, nothing is waited for.
func (s *Server) Close(hurry <-chan struct{}) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	s.stopping.Store(true)
	close(s.closing)
	s.log.Info("stopping")
	s.listeners.Retire()

	drain, stop := context.WithTimeout(context.Background(), drainTime)
	defer stop()
	over := make(chan struct{})
	defer close(over)
	go func() { // ends with Close
		select {
		case <-hurry:
			stop()
			s.end(mirror.ErrClosing)
			s.dir.Leash.Kill()
		case <-over:
		}
	}()
	s.http.SetKeepAlivesEnabled(false) // so that those that are kept close
	latest, cancel := context.WithTimeout(drain, newcomerTime)
	defer cancel()
	s.conns.AwaitRequests(latest)
	if err := s.http.Shutdown(drain); err != nil {
		s.log.Warn("answers in flight are cut short")
	}
	s.end(mirror.ErrClosing)

	hangup, cancelHangup := context.WithTimeout(context.Background(), hangupTime)
	defer cancelHangup()
	_ = s.http.Shutdown(hangup) // what was cut short says so
	err := s.http.Close()
	s.handling.Lock() // until every handler has returned; new ones find it closed
	s.closed = true
	s.handling.Unlock()
	s.discovery.Wait() // it begins work
	s.work.Wait()
	s.hooks.Wait()
	s.mirrors.propagator.Wait()
	s.listeners.Wait()
	s.metrics.Wait()
	err = errors.Join(err, s.mirrors.close())
	s.logins.Wait()
	s.settings().git.CloseIdle()
	s.guard.Close()
	return errors.Join(err, s.dir.Close())
}

// ServeHTTP answers every request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.handling.RLock()
	defer s.handling.RUnlock()
	if s.closed {
		panic(http.ErrAbortHandler)
	}
	if r.Header.Get(protocol.InstanceHeader) != "" {
		w.Header().Set(protocol.InstanceHeader, s.epoch)
	}
	requestlog.Serve(s.log.Logger, w, r, s.serve)
}

// serve answers a request.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	var body *conn.Body // nil for none
	if r.ContentLength != 0 {
		r, body = s.conns.Arriving(r)
		defer s.giveUp(w, r, body)
	}
	if body == nil || r.Method != http.MethodPost { // whose body nobody reads
		if err := s.conns.Answer(r.Context(), access.IsHealth(r.URL.Path)); err != nil {
			w.Header().Set("Connection", "close")
			s.writeError(w, r, err)
			return
		}
	}
	answer, allow := s.route(r.Method, r.URL.Path, conditional.PrefersPage(r.Header))
	what := access.NeedOf(r.Method, r.URL.Path)
	if answer == nil {
		what = access.Nothing
		w.Header().Set("Allow", allow)
		answer = func(http.ResponseWriter, *http.Request) error {
			return refuseMethod(r, allow)
		}
	}
	if body != nil && r.Method != http.MethodPost {
		w.Header().Set("Connection", "close")
	}
	err := s.admit(w, r, what)
	if err == nil {
		err = answer(w, r)
	}
	if err != nil {
		if body != nil && !body.Whole {
			w.Header().Set("Connection", "close")
		}
		s.writeError(w, r, err)
	}
	// What is still to be sent, such as an answer without a body, is sent when this returns.
	conn.ExtendWrite(r.Context(), w)
}

// giveUp leaves a client whose request has been answered before its body was there a
// moment to send it: many read the answer only then. Its connection is not kept, and has
// to go first for a newcomer.
func (s *Server) giveUp(w http.ResponseWriter, r *http.Request, body *conn.Body) {
	if !body.Whole {
		s.conns.GiveUp(r.Context())
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(leftoverTime))
	}
}
