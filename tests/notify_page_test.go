package tests

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestReceiverOfThePage runs the receiver that docs/notify.md shows.
func TestReceiverOfThePage(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("no python3 on this machine")
	}
	r, port := newOrigin(t), freePort(t)
	lines := notifies(t, "http://127.0.0.1:"+port+"/")
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, secret, notifySecret+"\n")
	said := &logText{}
	cmd := exec.Command("python3", "-c", adapt(t, blocks(t, "notify.md", "python")[0], "8099", port))
	cmd.Env = append(environ(), "SECRET_FILE="+secret)
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	d := start(t, lines...)
	d.pulled("my/dev/mirror", r.Dir)
	eventually(t, "the receiver knows of it", func() bool {
		return strings.Contains(said.String(), "my/dev/mirror "+r.Git("rev-parse", "main"))
	})
	a, err := http.Post("http://127.0.0.1:"+port, "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	a.Body.Close()
	if a.StatusCode != 403 {
		t.Errorf("what is not signed is answered %s", a.Status)
	}
}

// TestSignatureOfThePage: what docs/notify.md has typed prints the signature that was sent.
func TestSignatureOfThePage(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("no openssl on this machine")
	}
	dir, sent := t.TempDir(), make(chan string, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "body.json"), body, 0o600)
		}
		if err != nil {
			t.Error(err)
		}
		sent <- r.Header.Get("X-Sould-Signature-256")
	}))
	t.Cleanup(receiver.Close)
	d := start(t, notifies(t, receiver.URL)...)
	d.pulled("m", newOrigin(t).Dir)
	var signature string
	select {
	case signature = <-sent:
	case <-time.After(patient):
		t.Fatal("nobody was told of anything")
	}
	write(t, filepath.Join(dir, "secret"), notifySecret+"\n")
	cmd := exec.Command("sh", "-c", adapt(t, blocks(t, "notify.md", "console")[1], "/etc/sould.notify", "secret"))
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), " "+strings.TrimPrefix(signature, "sha256=")) {
		t.Errorf("%v: %s, and %s was sent", err, out, signature)
	}
}

// TestMessageOfThePage: the JSON that docs/notify.md shows has the fields that are sent.
func TestMessageOfThePage(t *testing.T) {
	t.Parallel()
	decoder := json.NewDecoder(strings.NewReader(blocks(t, "notify.md", "json")[0]))
	decoder.DisallowUnknownFields()
	var d delivered
	if err := decoder.Decode(&d); err != nil || len(d.Refs) != 1 || d.Servers != 3 {
		t.Errorf("%v: %+v", err, d)
	}
}
