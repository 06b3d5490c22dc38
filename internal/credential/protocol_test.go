package credential

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

func ask(t testing.TB, rawURL, user string) question {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	q, err := newQuestion(u, user)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestQuestion(t *testing.T) {
	for _, c := range []struct {
		url, user string
		refused   Login
		want      string
	}{
		{"https://github.com/acme/configs.git", "", Login{}, "protocol=https\nhost=github.com\npath=acme/configs.git\n"},
		{"https://GitHub.com:443/a%20b/", "", Login{}, "protocol=https\nhost=github.com\npath=a b\n"},
		{"http://[::1]:8080//r", "jack", Login{}, "protocol=http\nhost=::1:8080\npath=r\nusername=jack\n"},
		{"https://h/r", "jack", Login{user: "u", password: "p"}, "protocol=https\nhost=h\npath=r\nusername=u\npassword=p\n"},
		{"https://h/r", "jack", Login{scheme: "Bearer", token: "t"}, "protocol=https\nhost=h\npath=r\nauthtype=Bearer\ncredential=t\nusername=jack\n"},
	} {
		if got := string(ask(t, c.url, c.user).text(c.refused)); got != "capability[]=authtype\n"+c.want {
			t.Errorf("%s: asks %q", c.url, got)
		}
	}
	u, err := url.Parse("https://h/a%0Ahost=other")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newQuestion(u, ""); err == nil {
		t.Error("a path with a line end becomes another line")
	}
}

func TestParseAnswer(t *testing.T) {
	both := Login{user: "u", password: "p"}
	for _, c := range []struct {
		text  string
		login Login
		scope string
		wrong string
	}{
		{"username=u\npassword=p\n", both, "acme/r", ""},
		{"username=u\r\npassword=p\r\n\r\nnonsense", both, "acme/r", ""},
		{"capability[]=authtype\nhost=other\nusername=u\npassword=p\nnew=x=y\nquit=0", both, "acme/r", ""},
		{"password=p", Login{user: "jack", password: "p"}, "acme/r", ""},
		{"path=acme/\nusername=u\npassword=p", both, "acme/", ""},
		{"path=/\nusername=u\npassword=p", both, "", ""},
		{"path=acme/r\nusername=u\npassword=p", both, "acme/r", ""},
		{"path=\nusername=u\npassword=p", both, "acme/r", ""},
		{"path=acm/\nusername=u\npassword=p", both, "acme/r", ""},
		{"path=other/\nusername=u\npassword=p", both, "acme/r", ""},
		{"authtype=Bearer\ncredential=t\nusername=u\npassword=p", Login{scheme: "Bearer", token: "t"}, "acme/r", ""},
		{"authtype=Bearer\nusername=u\npassword=p", both, "acme/r", ""},
		{"", Login{}, "", "it gives no credentials for this repository"},
		{"username=u", Login{}, "", "it gives no credentials for this repository"},
		{"username=u\npassword=p\nquit=1", Login{}, "", "it gives no credentials for this repository"},
		{"<html>S3CRET</html>", Login{}, "", "it printed a line that is not key=value"},
		{"=p", Login{}, "", "it printed a line that is not key=value"},
		{"username=u\npassword=a\x00b", Login{}, "", "it printed a value with control characters"},
		{"password=" + strings.Repeat("p", maxValue+1), Login{}, "", "it printed a value of 8193 bytes, 8192 at most"},
		{"username=\npassword=p", Login{}, "", "it gives a password without a username"},
		{"username=a:b\npassword=p", Login{}, "", "its username has a colon, which no server could tell from the password's"},
		{"authtype=Bearer x:\ncredential=t", Login{}, "", "its authtype is not a name"},
		{"username=u\npassword=p\npassword_expiry_utc=soon", Login{}, "", "its password_expiry_utc is not a number of seconds"},
	} {
		a, err := parseAnswer(ask(t, "https://h/acme/r", "jack"), []byte(c.text))
		if c.wrong != "" {
			if err == nil || err.Error() != c.wrong {
				t.Errorf("%q: %v, want %s", c.text, err, c.wrong)
			}
			continue
		}
		if err != nil || a.login != c.login || a.scope != c.scope {
			t.Errorf("%q: %+v, %v", c.text, a, err)
		}
	}
}

func TestUseUntil(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for left, want := range map[time.Duration]time.Duration{
		time.Hour:             59 * time.Minute,
		100 * time.Second:     90 * time.Second,
		time.Second:           900 * time.Millisecond,
		0:                     -1,
		-time.Hour:            -1,
		1000 * 24 * time.Hour: longestKept - margin,
	} {
		until, ok := answer{expires: now.Add(left)}.useUntil(now)
		if ok != (want >= 0) || ok && until.Sub(now) != want {
			t.Errorf("%s: until %s, %v, want %s", left, until.Sub(now), ok, want)
		}
	}
	if until, ok := (answer{}).useUntil(now); !ok || until.Sub(now) != keptTime {
		t.Errorf("without a time: until %s, %v", until, ok)
	}
	if a, err := parseAnswer(ask(t, "https://h/r", ""), []byte("username=u\npassword=p\npassword_expiry_utc=9223372036854775807\n")); err != nil {
		t.Error(err)
	} else if until, ok := a.useUntil(now); !ok || until.Sub(now) > longestKept {
		t.Errorf("the end of time: until %s, %v", until, ok)
	}
}

func TestCheckCommand(t *testing.T) {
	for name, good := range map[string]bool{
		"github.com": true, "git.in.local:8443": true, "https://h": true, "http://127.0.0.1:80": true, "[::1]:8080": true,
		"": false, "h/": false, "h/path": false, "u@h": false, "ssh://h": false, "h:": false, "*.h": false, "h:port": false, "h ": false, "http://": false,
	} {
		if err := CheckCommand(name, "x"); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, command := range []string{"", " ", "a\nb"} {
		if err := CheckCommand("h", command); err == nil {
			t.Errorf("the command %q is taken", command)
		}
	}
	err := CheckServers(map[string]string{"h": "x", "https://H:443": "y", "http://h": "z"})
	if err == nil || err.Error() != `"h" and "https://H:443" are the same server: keep one of the two` {
		t.Errorf("one server twice: %v", err)
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add("username=u\npassword=p\npath=acme/\npassword_expiry_utc=1800000000\n")
	f.Add("authtype=Bearer\ncredential=x\n")
	f.Add("path=/\nquit=1\n\x00=")
	f.Fuzz(func(t *testing.T, text string) {
		q := ask(t, "https://h/acme/r", "jack")
		a, err := parseAnswer(q, []byte(text))
		if err != nil {
			return
		}
		header := a.login.Authorization()
		if strings.ContainsAny(header, "\r\n\x00") || a.login.IsZero() || strings.TrimSpace(header) == "" {
			t.Errorf("the header is %q", header)
		}
		if a.scope != q.path && a.scope != "" && !strings.HasPrefix(q.path, a.scope) {
			t.Errorf("it is valid for %q", a.scope)
		}
		// What is sent to erase it is read as the same.
		if again, err := parseAnswer(q, q.text(a.login)); err != nil || again.login != a.login {
			t.Errorf("%q: %+v, %v", text, again, err)
		}
	})
}
