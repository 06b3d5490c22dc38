package tests

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// appForge has the two endpoints of GitHub that give tokens of an App which the user Acme has installed,
// as docs.github.com describes them ("REST API endpoints for GitHub Apps").
type appForge struct {
	key    *rsa.PrivateKey
	server *httptest.Server
	given  atomic.Int64
}

func newAppForge(t *testing.T) *appForge {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	f := &appForge{key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /users/acme/installation", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "{\n  \"id\": 77,\n  \"account\": {\n    \"login\": \"acme\",\n    \"id\": 12,\n    \"token\": \"no\"\n  }\n}\n")
	})
	mux.HandleFunc("POST /app/installations/77/access_tokens", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"token":"ghs_token%d","expires_at":"%s","permissions":{"contents":"read","metadata":"read"},"repository_selection":"all"}`,
			f.given.Add(1), time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	})
	f.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := f.check(r.Header.Get("Authorization")); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(f.server.Close)
	return f
}

// check checks a JSON Web Token of the App 4711.
func (f *appForge) check(authorization string) error {
	parts := strings.Split(strings.TrimPrefix(authorization, "Bearer "), ".")
	if len(parts) != 3 {
		return fmt.Errorf("%q is no token", authorization)
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return err
	}
	hash := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(&f.key.PublicKey, crypto.SHA256, hash[:], signature); err != nil {
		return err
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return err
	}
	var claims struct {
		Iat, Exp int64
		Iss      string
	}
	if err := json.Unmarshal(text, &claims); err != nil {
		return err
	}
	if now := time.Now().Unix(); claims.Iss != "4711" || claims.Iat > now || claims.Exp < now || claims.Exp > now+600 {
		return fmt.Errorf("the claims are %s", text)
	}
	return nil
}

// TestGitHubApp: the script that docs/credentials.md shows, as a sould runs it.
func TestGitHubApp(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"curl", "openssl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s on this machine", program)
		}
	}
	api := newAppForge(t)
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(api.key)})
	key := filepath.Join(t.TempDir(), "github-app.pem")
	write(t, key, string(pkcs1))
	script, err := filepath.Abs("../contrib/github-app-token")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for _, name := range []string{"Acme/a.git", "Acme/b.git", "other/c.git"} {
		origin.New(t, filepath.Join(root, name)).Commit("main", map[string]string{"f": "1"})
	}
	server := origin.ServeHTTP(t, root)
	server.Require("x-access-token", "ghs_token1")
	command := fmt.Sprintf("%s --app 4711 --key %s --org acme --api %s", script, key, api.server.URL)
	conf := func(command string) []string {
		return []string{"[credential_command]", fmt.Sprintf("%q = %q", server.URL, command)}
	}
	d := start(t, conf(command)...)
	for _, name := range []string{"Acme/a", "Acme/b"} {
		d.post(name, server.URL+"/"+name+".git").expect(t, 200)
	}
	if n := api.given.Load(); n != 1 {
		t.Errorf("%d tokens were asked for", n)
	}
	d.post("other/c", server.URL+"/other/c.git").expect(t, 500).contains(t, "it gives no credentials for this repository")
	server.Require("x-access-token", "ghs_token2") // the first has been revoked
	d.post("Acme/b", server.URL+"/Acme/b.git").expect(t, 200)

	d.reload(conf(strings.Replace(command, "4711", "4712", 1))...)
	d.post("Acme/a", server.URL+"/Acme/a.git").expect(t, 500).contains(t, "exit status 1")
	tellsNothing(t, []string{"ghs_token"}, d.log.String())
}
