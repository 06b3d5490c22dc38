package tests

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

const notifySecret = "the-secret-of-the-notifications"

// delivered is a request that a receiver has got.
type delivered struct {
	ID            string
	Mirror        string
	Origin        string
	Removed       bool
	DefaultBranch string `json:"default_branch"`
	Revision      string
	Refs          []struct{ Name, Old, New string }
	OldBranch     string `json:"old_default_branch"`
	MoreRefs      int    `json:"more_refs"`
	Servers       int
	Slaves        []string
	Time          time.Time
}

// was is what happened to a ref.
func (d delivered) was(name string) string {
	for _, ref := range d.Refs {
		if ref.Name == name {
			return ref.Old + " " + ref.New
		}
	}
	return ""
}

// receiver is a web server that is told of changes.
type receiver struct {
	*httptest.Server
	t      *testing.T
	all    chan delivered
	mu     sync.Mutex                               // guards answer
	answer func(w http.ResponseWriter, d delivered) // nil for 200
}

// newReceiver starts a receiver at an address, or anywhere.
func newReceiver(t *testing.T, address string) *receiver {
	t.Helper()
	r := &receiver{t: t, all: make(chan delivered, 1000)}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(r.serve))
	if address != "" {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		r.Listener.Close()
		r.Listener = listener
	}
	r.Start()
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answers(answer func(w http.ResponseWriter, d delivered)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	mac := hmac.New(sha256.New, []byte(notifySecret))
	mac.Write(body)
	want := "sha256=" + hex.EncodeToString(mac.Sum(nil))
	var d delivered
	if err == nil {
		err = json.Unmarshal(body, &d)
	}
	if h := req.Header; err != nil || req.Method != "POST" || h.Get("X-Sould-Signature-256") != want || h.Get("X-Hub-Signature-256") != want ||
		h.Get("Sould-Delivery") != d.ID || d.ID == "" || h.Get("Content-Type") != "application/json" || d.Time.IsZero() {
		r.t.Errorf("%v: %s %v\n%s", err, req.Method, req.Header, body)
	}
	r.mu.Lock()
	answer := r.answer
	r.mu.Unlock()
	r.all <- d
	if answer != nil {
		answer(w, d)
	}
}

// next is the next request.
func (r *receiver) next() delivered {
	r.t.Helper()
	select {
	case d := <-r.all:
		return d
	case <-time.After(patient):
		r.t.Fatal("nobody was told of anything")
		panic("unreachable")
	}
}

// silent checks that nothing has come.
func (r *receiver) silent() {
	r.t.Helper()
	select {
	case d := <-r.all:
		r.t.Errorf("it was told %+v", d)
	default:
	}
}

// notifies are the lines of a configuration that has these URLs told.
func notifies(t *testing.T, urls ...string) []string {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, secret, notifySecret+"\n")
	var quoted []string
	for _, url := range urls {
		quoted = append(quoted, fmt.Sprintf("%q", url))
	}
	return []string{"notify = [" + strings.Join(quoted, ", ") + "]", fmt.Sprintf("notify_secret_file = %q", secret), `retry = "20ms"`}
}

// hasTold waits until the daemon has nothing to tell any more.
func (d *daemon) hasTold() {
	d.t.Helper()
	busy := regexp.MustCompile(`sould_notifications_(waiting\{.*\}|unconfirmed) [1-9]`)
	eventually(d.t, "all is told", func() bool { return !busy.MatchString(d.get("/x/metrics").text()) })
}

var noID = strings.Repeat("0", 40)
