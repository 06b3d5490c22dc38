package tests

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/reconquest/sould/tests/origin"
)

// network connects machines, each with each other, by links that can be cut. Machine 0
// has the origin, the others have one server each.
type network interface {
	listen(t *testing.T) net.Listener // where the origin serves
	address(from, to int) string      // what a server calls another one, or itself
	place(d *daemon, machine int)     // makes a server run on that machine
	client(machine int) *http.Client  // that runs there as well
	cut(a, b int, how cutting)        // the link of two machines
	heal(a, b int)
}

// cutting is how a link is cut.
type cutting int

const (
	silent      cutting = iota // what is sent is lost
	unreachable                // one end is told at once that there is no way
	cuttings
)

// newNetwork makes a network of so many machines: network namespaces with links between
// them or, where these are not permitted, proxies on loopback.
func newNetwork(t *testing.T, machines int) network {
	t.Helper()
	if os.Getenv("SOULD_PROXIES") != "" {
		return newProxies(t, machines)
	}
	n, err := newNamespaces(t, machines)
	if err != nil {
		t.Logf("no network namespaces, but proxies on loopback: %v", err)
		return newProxies(t, machines)
	}
	return n
}

// namespaces are machines as network namespaces. Each has an address of its own, and an
// interface for each other one. In a namespace between them, two interfaces at a time
// are joined by a bridge.
type namespaces struct {
	t    *testing.T
	name string // what the names of all of them begin with
}

func newNamespaces(t *testing.T, machines int) (*namespaces, error) {
	t.Helper()
	n := &namespaces{t, fmt.Sprintf("sould-test-%d", os.Getpid())}
	for _, name := range append([]string{n.between()}, n.all(machines)...) {
		if err := ip("", "netns add "+name); err != nil {
			return nil, err
		}
		t.Cleanup(func() {
			if err := ip("", "netns del "+name); err != nil {
				t.Error(err)
			}
		})
	}
	for a, name := range n.all(machines) {
		if err := ip(name, "link set lo up", fmt.Sprintf("addr add %s/32 dev lo", host(a))); err != nil {
			return nil, err
		}
	}
	for a := range machines {
		for b := range a {
			bridge := linkName(a, b)
			if err := ip(n.between(), "link add "+bridge+" type bridge"); err != nil {
				return nil, err
			}
			for _, end := range [][2]int{{a, b}, {b, a}} {
				from, to := end[0], end[1]
				port := fmt.Sprintf("port%d-%d", from, to)
				err := ip(n.between(), fmt.Sprintf("link add %s type veth peer name to%d netns %s", port, to, n.of(from)),
					"link set "+port+" master "+bridge+" up")
				if err == nil {
					err = ip(n.of(from), fmt.Sprintf("link set to%d up", to), route(from, to))
				}
				if err != nil {
					return nil, err
				}
			}
			if err := ip(n.between(), "link set "+bridge+" up"); err != nil {
				return nil, err
			}
		}
	}
	return n, nil
}

func (n *namespaces) between() string { return n.name + "-between" }
func (n *namespaces) of(i int) string { return fmt.Sprintf("%s-%d", n.name, i) }
func host(machine int) string         { return fmt.Sprintf("10.77.0.%d", machine+1) }
func linkName(a, b int) string        { return fmt.Sprintf("link%d-%d", max(a, b), min(a, b)) }
func route(from, to int) string {
	return fmt.Sprintf("route replace %s dev to%d src %s", host(to), to, host(from))
}
func (n *namespaces) all(m int) (names []string) {
	for i := range m {
		names = append(names, n.of(i))
	}
	return names
}

// ip runs commands of ip(8) in a namespace, or in that of the test.
func ip(namespace string, commands ...string) error {
	for _, command := range commands {
		args := strings.Fields(command)
		if namespace != "" {
			args = append([]string{"-n", namespace}, args...)
		}
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

// within does something in a namespace: sockets that are made then belong there.
func (n *namespaces) within(machine int, do func() error) error {
	other, err := os.Open(filepath.Join("/run/netns", n.of(machine)))
	if err != nil {
		return err
	}
	defer other.Close()
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer own.Close()
	if err := unix.Setns(int(other.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	defer func() {
		if unix.Setns(int(own.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread() // else the thread ends with its goroutine
		}
	}()
	return do()
}

func (n *namespaces) listen(t *testing.T) (l net.Listener) {
	t.Helper()
	err := n.within(0, func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(host(0), "80"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (n *namespaces) address(_, to int) string { return net.JoinHostPort(host(to), "80") }

// place has the test ask the server from within its machine, so that it reaches it
// however the network is.
func (n *namespaces) place(d *daemon, machine int) {
	d.before = []string{"ip", "netns", "exec", n.of(machine)}
	d.client = n.client(machine)
}

func (n *namespaces) client(machine int) *http.Client {
	return &http.Client{Timeout: client.Timeout, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (c net.Conn, err error) {
			err = n.within(machine, func() error {
				c, err = (&net.Dialer{}).DialContext(ctx, network, address)
				return err
			})
			return c, err
		},
	}}
}

func (n *namespaces) cut(a, b int, how cutting) {
	var err error
	switch how {
	case silent:
		err = ip(n.between(), "link set "+linkName(a, b)+" down")
	default:
		err = ip(n.of(a), "route replace unreachable "+host(b))
	}
	if err != nil {
		n.t.Error(err)
	}
}

func (n *namespaces) heal(a, b int) {
	for _, end := range [][2]int{{a, b}, {b, a}} {
		from, to := end[0], end[1]
		_ = ip(n.of(from), "route del unreachable "+host(to)) // if it is cut so
		if err := ip(n.of(from), route(from, to)); err != nil {
			n.t.Error(err)
		}
	}
	if err := ip(n.between(), "link set "+linkName(a, b)+" up"); err != nil {
		n.t.Error(err)
	}
}

// proxies are machines on loopback that reach each other through proxies: one for each
// two and direction. What git asks the origin goes through one by http_proxy.
type proxies struct {
	t       *testing.T
	origin  net.Listener
	servers []string // their addresses, from 1 on
	links   map[[2]int]*origin.Proxy
}

func newProxies(t *testing.T, machines int) *proxies {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxies{t: t, origin: l, servers: []string{l.Addr().String()}, links: make(map[[2]int]*origin.Proxy)}
	for range machines - 1 {
		p.servers = append(p.servers, "127.0.0.1:"+freePort(t))
	}
	for from := 1; from < machines; from++ {
		for to := range machines {
			if from != to {
				p.links[[2]int{from, to}] = origin.NewProxy(t, p.servers[to])
			}
		}
	}
	return p
}

func (p *proxies) listen(*testing.T) net.Listener { return p.origin }

func (p *proxies) address(from, to int) string {
	if from == to {
		return p.servers[to]
	}
	return p.links[[2]int{from, to}].Addr
}

func (p *proxies) place(d *daemon, machine int) {
	d.env = append(d.env, "http_proxy=http://"+p.address(machine, 0))
}

func (p *proxies) client(int) *http.Client { return client }

func (p *proxies) cut(a, b int, how cutting) {
	fault := origin.Fault{Mute: true, Then: origin.Stall}
	if how == unreachable {
		fault = origin.Fault{Refuse: true}
	}
	p.set(a, b, fault, how == unreachable)
}

func (p *proxies) heal(a, b int) { p.set(a, b, origin.Fault{}, false) }

func (p *proxies) set(a, b int, fault origin.Fault, hangUp bool) {
	for _, key := range [][2]int{{a, b}, {b, a}} {
		if link := p.links[key]; link != nil {
			link.Set(fault)
			if hangUp {
				link.HangUp()
			}
		}
	}
}
