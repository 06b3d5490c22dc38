package cluster

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/protocol"
)

// TestErrorsShowNoSecrets: a server may repeat the token, or the credentials of an origin, in an
// answer that is no HTTP, and net/http quotes such an answer in its error.
func TestErrorsShowNoSecrets(t *testing.T) {
	const token, password = "the-token-of-the-cluster", "the-password-of-the-origin"
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				fmt.Fprintf(c, "HTTP/1.1 %s-%s\r\n\r\n", token, password)
			}
			c.Close()
		}
	}()
	address, err := protocol.ParseAddress(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client := NewClient("self", "instance", slog.New(slog.DiscardHandler), &Options{
		Slaves: []protocol.Address{address}, Access: access.Policy{Token: token}, Timeout: time.Minute, MaxConns: 4,
	})
	defer client.Close()
	trace := protocol.NewTrace("self")
	pull := mirror.Request{Name: named("m"), Origin: mustParse(t, "https://u:"+password+"@h/x.git")}
	outcome := client.PropagatePull(t.Context(), address, pull, trace, nil)
	removal := client.PropagateDelete(t.Context(), address, pull.Name, trace, time.Now())
	_, _, statusErr := client.peer(address, false).status(t.Context(), trace)
	_, mirrorErr := client.peer(address, false).mirror(t.Context(), trace, pull.Name)
	for what, words := range map[string]string{
		"a pull": outcome.Error, "the tree of a pull": outcome.HierarchicalError, "a removal": removal.Error,
		"a status": fmt.Sprint(statusErr), "a mirror's status": fmt.Sprint(mirrorErr),
	} {
		isPull := strings.HasSuffix(what, "a pull")
		if !strings.Contains(words, "malformed HTTP") || strings.Contains(words, token) || isPull && strings.Contains(words, password) {
			t.Errorf("%s: %s", what, words)
		}
	}
}
