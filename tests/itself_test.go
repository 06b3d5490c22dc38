package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// TestASlaveThatIsItsMaster is found at the start under any spelling of its address, and after a
// reload, and is no slave: nothing is asked of it, and it is counted nowhere.
func TestASlaveThatIsItsMaster(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	listen := `listen = "127.0.0.1:` + freePort(t) + `"`
	port := strings.TrimSuffix(strings.TrimPrefix(listen, `listen = "127.0.0.1:`), `"`)
	other, late := start(t), origin.NewProxy(t, "127.0.0.1:"+port)
	by := origin.NewProxy(t, "127.0.0.1:"+port) // another port that leads here
	allow := `allow_hosts = ["127.0.0.1"]`      // which refuses requests by the other name
	late.Set(origin.Fault{Refuse: true})
	d := start(t, "master = true", listen, allow, slaves("localhost:"+port, by.Addr, other.url))
	for _, spelling := range []string{"localhost:" + port, by.Addr} {
		d.wait(`WARN a slave is this very server: it is left out; remove it from the key slaves slave=` + spelling)
	}
	said := d.pulled("m", r.Dir).text()
	if lines := strings.Split(strings.TrimSpace(said), "\n"); len(lines) != 2 || !strings.HasPrefix(lines[0], "master ") {
		t.Errorf("who has pulled:\n%s", said)
	}
	d.wait(`INFO propagated mirror=m slaves=1 status=200`)
	if u := d.status("").Upstream; u.Total != 1 || u.Success != 1 || len(u.Slaves) != 1 {
		t.Errorf("the status: %+v", u)
	}

	// One that could not be asked at the start is found by the first request.
	d.reload("master = true", listen, slaves(late.Addr))
	late.Set(origin.Fault{})
	said = d.post("m", r.Dir).expect(t, 200).text()
	if strings.Count(said, "\n") != 1 {
		t.Errorf("who has pulled:\n%s", said)
	}
	d.wait(`WARN a slave is this very server.* slave=` + late.Addr)
	d.logged("a slave is this very server", 3)
	if u := d.status("").Upstream; u.Total != 0 {
		t.Errorf("the status: %+v", u)
	}
}

// TestAServerAmongItsPeers is skipped without a word, and the others are compared.
func TestAServerAmongItsPeers(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	peer := start(t)
	peer.pulled("m", r.Dir)
	port := freePort(t)
	lines := []string{`listen = "127.0.0.1:` + port + `"`, `repair = "300ms"`}
	d := start(t, append(lines, peers("localhost:"+port, "127.0.0.1:"+port, peer.url))...)
	eventually(t, "what the other peer has is here", func() bool { return d.get("/m").StatusCode == 200 })
	if log := d.log.String(); strings.Contains(log, "very server") || strings.Contains(log, "can't compare") {
		t.Errorf("the log:\n%s", log)
	}
}

// TestACopiedStorage brings its id with it: that is another server all the same, and told.
func TestACopiedStorage(t *testing.T) {
	t.Parallel()
	a, b := start(t), prepare(t, `repair = "300ms"`)
	id := filepath.Join(".sould", "id")
	if err := os.MkdirAll(filepath.Join(b.storage, ".sould"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.storage, id), []byte(read(t, filepath.Join(a.storage, id))), 0o600); err != nil {
		t.Fatal(err)
	}
	b.configure(`repair = "300ms"`, peers(a.url))
	b.run()
	b.wait(`WARN can't compare with another server server=.*\n    it has the same id as this server, so its storage is a copy of this one's: stop it, remove the file .sould/id`)
}
