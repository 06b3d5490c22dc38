package packaging

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// built is the directory in which packages of versions lie that tests share.
var built string

func TestMain(m *testing.M) {
	var err error
	if built, err = os.MkdirTemp("", "sould-packages"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(built)
	os.Exit(code)
}

// packages returns the paths of the packages of a version.
func packages(t *testing.T, version string) (deb, rpm string) {
	t.Helper()
	dir := filepath.Join(built, version)
	if _, err := os.Stat(dir); err != nil {
		return build(t, dir, version)
	}
	return find(t, dir)
}

// find returns the packages in a directory.
func find(t *testing.T, dir string) (deb, rpm string) {
	t.Helper()
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	rpms, rpmErr := filepath.Glob(filepath.Join(dir, "*.rpm"))
	if err != nil || rpmErr != nil || len(debs) != 1 || len(rpms) != 1 {
		t.Fatal(debs, err, rpms, rpmErr)
	}
	return debs[0], rpms[0]
}

// build builds the packages into a directory and returns their paths.
func build(t *testing.T, dir, version string, env ...string) (deb, rpm string) {
	t.Helper()
	cmd := exec.Command("./build", dir)
	cmd.Env = append(append(os.Environ(), "VERSION="+version), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return find(t, dir)
}

// run runs a program and returns what it prints.
func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// need skips a test where a program is missing.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s on this machine", program)
		}
	}
}

// TestPackagesAreReproducible: two builds are the same, byte for byte, whoever makes them where.
func TestPackagesAreReproducible(t *testing.T) {
	deb, rpm := build(t, t.TempDir(), "1.0", "TZ=Asia/Tokyo")
	deb2, rpm2 := build(t, t.TempDir(), "1.0", "TZ=America/Lima", "HOSTNAME=other", "USER=other", "LANG=C.UTF-8", "TMPDIR="+t.TempDir())
	for _, pair := range [][2]string{{deb, deb2}, {rpm, rpm2}} {
		a, err := os.ReadFile(pair[0])
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(pair[1])
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s and %s differ", pair[0], pair[1])
		}
	}
}

// TestContents lists what is in both packages.
func TestContents(t *testing.T) {
	deb, rpm := packages(t, "1.0")
	const common = "/etc/sould.conf /usr/bin/sould /usr/bin/sould-hook /usr/lib/sould/github-app-token /usr/lib/sysusers.d/sould.conf /usr/share/man/man1/sould.1.gz " +
		"/usr/share/man/man5/sould.conf.5.gz /usr/share/bash-completion/completions/sould /usr/share/fish/vendor_completions.d/sould.fish "
	has := func(list, prefix, want string) {
		t.Helper()
		for _, file := range strings.Fields(want) {
			if !strings.Contains(list, prefix+file+"\n") {
				t.Errorf("no %s in\n%s", file, list)
			}
		}
	}
	if _, err := exec.LookPath("dpkg-deb"); err == nil {
		list := run(t, "dpkg-deb", "--contents", deb)
		has(list, " .", common+"/lib/systemd/system/sould.service /lib/systemd/system/sould.socket "+
			"/lib/systemd/system/sould-hook@.service /lib/systemd/system/sould-hook@.timer /usr/share/zsh/vendor-completions/_sould")
		if got := run(t, "dpkg-deb", "--info", deb, "conffiles"); got != "/etc/sould.conf\n" {
			t.Errorf("conffiles: %q", got)
		}
		dir := t.TempDir()
		run(t, "dpkg-deb", "--extract", deb, dir)
		if text := run(t, filepath.Join(dir, "usr/bin/sould"), "--version"); !strings.HasPrefix(text, "sould 1.0\ncommit ") {
			t.Errorf("sould --version prints\n%s", text)
		}
		if out, _ := exec.Command("file", filepath.Join(dir, "usr/bin/sould")).Output(); len(out) > 0 && !strings.Contains(string(out), "statically linked") {
			t.Errorf("the program is %s", out)
		}
	}
	if _, err := exec.LookPath("rpm"); err == nil {
		list := run(t, "rpm", "--query", "--package", "--list", rpm)
		has(list, "", common+"/usr/lib/systemd/system/sould.service /usr/lib/systemd/system/sould.socket "+
			"/usr/lib/systemd/system/sould-hook@.service /usr/lib/systemd/system/sould-hook@.timer /usr/share/zsh/site-functions/_sould")
		if got := run(t, "rpm", "--query", "--package", "--configfiles", rpm); got != "/etc/sould.conf\n" {
			t.Errorf("configuration files: %q", got)
		}
	}
}

// machine is a copy of this machine with a systemd of its own.
type machine struct {
	t   *testing.T
	pid string // of its process 1
}

// boot boots a machine, or skips the test where that is not possible.
func boot(t *testing.T) *machine {
	t.Helper()
	need(t, "unshare", "nsenter", "ip", "chroot", "dpkg", "git", "curl", "/lib/systemd/systemd")
	dir := t.TempDir()
	cmd := exec.Command("unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup", "--fork", "--kill-child", "sh", "testdata/boot", dir)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan bool)
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	m := &machine{t: t}
	deadline := time.Now().Add(5 * time.Minute)
	for {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
		if m.pid = strings.TrimSpace(string(text)); m.pid != "" {
			out, _ := m.try("systemctl", "is-system-running")
			if out == "running\n" || out == "degraded\n" {
				return m
			}
		}
		select {
		case <-ended:
			t.Skipf("systemd cannot be booted here:\n%s", &log)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			<-ended
			t.Fatalf("systemd does not come up:\n%s", &log)
		}
	}
}

// try runs a program on the machine.
func (m *machine) try(program ...string) (string, error) {
	args := append([]string{"-t", m.pid, "-m", "-p", "-n", "-i", "-u", "-C", "-r", "-w", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}, program...)
	out, err := exec.Command("nsenter", args...).CombinedOutput()
	return string(out), err
}

// run runs a program on the machine, which must succeed.
func (m *machine) run(program ...string) string {
	m.t.Helper()
	out, err := m.try(program...)
	if err != nil {
		journal, _ := m.try("journalctl", "--no-pager", "--unit=sould")
		m.t.Fatalf("%s: %v\n%s\n%s", strings.Join(program, " "), err, out, journal)
	}
	return out
}

// sh runs a script on the machine.
func (m *machine) sh(script string) string { m.t.Helper(); return m.run("sh", "-ec", script) }

// install copies a package to the machine and installs it; the configuration that is there stays.
func (m *machine) install(deb string) string {
	m.t.Helper()
	text, err := os.ReadFile(deb)
	if err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile("/proc/"+m.pid+"/root/root/sould.deb", text, 0o644); err != nil {
		m.t.Fatal(err)
	}
	return m.run("dpkg", "--force-confold", "--install", "/root/sould.deb")
}

// mainPID is the number of the daemon's process.
func (m *machine) mainPID() string {
	m.t.Helper()
	return m.run("systemctl", "show", "--property=MainPID", "--value", "sould")
}

// TestLifeOfThePackage: it is installed, started, used, upgraded and removed on a machine with a real
// systemd, and the mirrors are left.
func TestLifeOfThePackage(t *testing.T) {
	m := boot(t)
	old, _ := packages(t, "1.0")
	m.install(old)
	m.sh(`systemctl is-active sould; systemctl is-enabled sould
		git init --quiet /srv/git/a; git -C /srv/git/a -c user.name=a -c user.email=a@b commit --quiet --allow-empty --message=m
		git daemon --export-all --base-path=/srv/git --listen=127.0.0.1 --detach /srv/git
		until git ls-remote --quiet git://127.0.0.1/a >/dev/null 2>&1; do sleep 0.1; done
		curl --silent --show-error --fail --data name=m --data origin=git://127.0.0.1/a 127.0.0.1:8080
		[ "$(stat --format=%U /var/lib/sould/m)" = sould ]`)

	// A reload, also a refused one.
	m.sh(`systemctl reload sould; echo 'keep = "2h"' >>/etc/sould.conf; systemctl reload sould
		cp /etc/sould.conf /root/good; echo 'nonsense = 1' >>/etc/sould.conf; ! systemctl reload sould
		journalctl --no-pager --unit=sould | grep 'nonsense: unknown key'; cp /root/good /etc/sould.conf`)

	// A restart refuses nobody, if systemd has the socket.
	m.sh(`systemctl stop sould; systemctl start sould.socket
		for i in $(seq 100); do curl --silent --show-error --fail --output /dev/null 127.0.0.1:8080/m; done & clients=$!
		for i in 1 2 3; do systemctl restart sould; done; wait $clients`)

	// The upgrade keeps the configuration, and restarts the daemon.
	before := m.mainPID()
	upgrade, _ := packages(t, "1.1")
	m.install(upgrade)
	if m.mainPID() == before {
		t.Error("the upgrade has not restarted the daemon")
	}
	m.sh(`systemctl is-active sould; cmp /root/good /etc/sould.conf; curl --silent --show-error --fail --output /dev/null 127.0.0.1:8080/m`)

	// But not with a configuration that it would refuse.
	before = m.mainPID()
	m.sh(`echo 'nonsense = 1' >>/etc/sould.conf`)
	if out := m.install(upgrade); !strings.Contains(out, "nonsense: unknown key") || !strings.Contains(out, "the version before goes on running") {
		t.Errorf("the upgrade says\n%s", out)
	}
	if m.mainPID() != before {
		t.Error("the daemon was restarted over a configuration that it refuses")
	}

	m.run("dpkg", "--remove", "sould")
	m.sh(`! systemctl is-active sould; ! test -e /usr/bin/sould; test -e /etc/sould.conf; git --git-dir=/var/lib/sould/m fsck`)
	if out := m.run("dpkg", "--purge", "sould"); !strings.Contains(out, "the mirrors in /var/lib/sould and the user sould are left") {
		t.Errorf("the purge says\n%s", out)
	}
	m.sh(`! test -e /etc/sould.conf; git --git-dir=/var/lib/sould/m fsck; id sould`)
}

// TestInstallOverARefusedConfiguration does not start the daemon, says why, and is no failure.
func TestInstallOverARefusedConfiguration(t *testing.T) {
	m := boot(t)
	m.sh(`echo 'nonsense = 1' >/etc/sould.conf`)
	deb, _ := packages(t, "1.0")
	out := m.install(deb)
	if !strings.Contains(out, "nonsense: unknown key") || !strings.Contains(out, "systemctl restart sould") {
		t.Errorf("it says\n%s", out)
	}
	m.sh(`! systemctl is-active sould; test -z "$(systemctl --failed --no-legend sould.service)"`)
}
