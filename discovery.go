package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"

	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/discover"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/protocol"
)

// newDiscovery makes what looks for new repositories, and shows it to those who tell of it.
func (s *Server) newDiscovery() *discover.Runner {
	runner := discover.NewRunner(s.life, discover.Parts{Dir: s.dir, Store: s.mirrors.store, Log: s.log.Logger, Told: func() bool { return cluster.IsToldOfAny(s.mirrors.store) }, Begin: s.commandHere})
	s.mirrors.status.Discovery, s.mirrors.insight.Discovery = runner, runner
	return runner
}

// commandHere carries out a command of nobody, and waits until it is over on this server, or ctx ends; the
// work goes on then. The error says why this server could not do it. It does not wait for slaves: one that
// is down would hold up thousands of new mirrors, each for the whole timeout. What they could not do, the
// log says, and the reconciler does it again.
func (s *Server) commandHere(ctx context.Context, req mirror.Request) error {
	p, err := s.command(req)
	if err != nil {
		return err
	}
	select {
	case <-p.pulled:
	case <-ctx.Done():
		return ctx.Err()
	}
	if o := p.report().Outcome; o.State != protocol.Success {
		return errors.New(o.Error)
	}
	return nil
}

// checkDiscovery prints what the forges have that would be mirrored.
func checkDiscovery(configFile string, unsecure bool, stdout io.Writer) error {
	config, source, err := LoadConfig(configFile)
	if err != nil {
		return err
	}
	if len(config.Discover) == 0 {
		return fmt.Errorf("%s has no [[discover]]", source)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	set := settings{Config: config, unsecure: unsecure}
	return discover.Preview(ctx, set.discoverOptions(), stdout)
}
