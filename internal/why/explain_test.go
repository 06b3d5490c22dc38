package why

import (
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// pulled are the facts of a mirror that is as it should be.
func pulled(change func(*Facts)) Facts {
	f := Facts{
		Now: now, Name: "my/mirror", Base: "http://sould.local", Exists: true,
		Origin: "https://git.in.local/a.git", Branch: "refs/heads/main", Revision: "8d3f2a1c9b7e00112233445566778899aabbccdd", Refs: 14,
		Outcome: Success, Pulled: ago(3 * time.Minute), Fresh: true,
		Asked:      Asking{At: ago(3*time.Minute + time.Second), By: "10.1.2.3"},
		Checked:    ago(26 * time.Hour),
		CheckEvery: 7 * 24 * time.Hour, Repair: 30 * time.Second, Keep: 30 * 24 * time.Hour,
	}
	change(&f)
	return f
}

// failing are those of one whose origin fails.
func failing(reason string) Facts {
	return pulled(func(f *Facts) { f.Outcome, f.Error, f.Failing = Failed, reason, ago(2*time.Hour) })
}

// nothing are those of a name that no mirror has.
func nothing(change func(*Facts)) Facts {
	f := Facts{Now: now, Name: "my/mirror", Base: "http://sould.local", Repair: 30 * time.Second}
	change(&f)
	return f
}

func refused(words string) Asking { return Asking{At: ago(time.Minute), By: "10.9.9.9", Words: words} }

var situations = []struct {
	name  string
	facts Facts
	level Level
	says  []string // in this order
	never []string
}{
	{"success", pulled(func(*Facts) {}), Good, []string{
		"my/mirror is as its origin was on 2026-11-28 11:57:00 UTC (3 minutes ago).",
		"last asked for on 2026-11-28 11:56:59 UTC (3 minutes ago) by 10.1.2.3.",
		"It succeeded: it read its origin https://git.in.local/a.git",
		"This server has 14 refs; its default branch main is at 8d3f2a1c9b7e.",
		"It is pulled with the next POST.",
		"were read on 2026-11-27 10:00:00 UTC (1 day ago), and are again on 2026-12-04 10:00:00 UTC (in 5 days).",
	}, []string{"What you can do"}},
	{"on demand", pulled(func(f *Facts) {
		f.Asked, f.Made, f.Own, f.NextLook = Asking{}, Asking{At: ago(time.Hour), By: "10.1.2.3"}, true, now.Add(2*time.Minute)
	}), Good, []string{
		"A read by 10.1.2.3 has made it on 2026-11-28 11:00:00 UTC (1 hour ago). It is this server's own",
		"It is pulled with the next POST, and with the next read after 2026-11-28 12:02:00 UTC",
	}, []string{"copied it in", "last asked for"}},
	{"on demand, and looked at long ago", pulled(func(f *Facts) { f.NextLook = ago(2 * time.Minute) }), Good, []string{
		"It is pulled with the next POST, and with the next read.",
	}, nil},
	{"never pulled", pulled(func(f *Facts) {
		f.Outcome, f.Pulled, f.Asked, f.Fresh, f.Checked = Never, time.Time{}, Asking{}, false, time.Time{}
	}), Warn, []string{
		"was never pulled by this server.", "No POST for it is known", "what was found in the storage",
		"The next read of it pulls first", "for the first time when its turn comes, within 7 days",
		"curl --data-urlencode name=my/mirror --data-urlencode origin=https://git.in.local/a.git http://sould.local",
	}, nil},
	{"no origin", pulled(func(f *Facts) { f.Outcome, f.Pulled, f.Origin = Never, time.Time{}, "" }), Warn, []string{
		"It is not pulled, since its origin is not known.", "sets its origin: curl", "'origin=<clone URL>'",
	}, nil},
	{"not pulled since the start", pulled(func(f *Facts) { f.Fresh = false }), Good, []string{"The next read of it pulls first"}, nil},
	{"the origin was deleted", pulled(func(f *Facts) { f.Gone, f.GoneBy = ago(time.Hour), "the webhook github" }), Warn, []string{
		"my/mirror is kept, but its origin was deleted on 2026-11-28 11:00:00 UTC (1 hour ago).",
		"The origin https://git.in.local/a.git was deleted on 2026-11-28 11:00:00 UTC (1 hour ago), as the webhook github says: what it had is served on.",
		"If the repository is elsewhere now", "move=https://git.in.local/a.git", "remove it with DELETE",
	}, nil},
	{"told", pulled(func(f *Facts) { f.Told = []Telling{{URL: "http://ci.local", At: ago(time.Minute)}} }), Good, []string{
		"Who is told of it", "http://ci.local was told of what is here on 2026-11-28 11:59:00 UTC (1 minute ago).",
	}, []string{"as soon as"}},
	{"being told", pulled(func(f *Facts) {
		f.Told = []Telling{{URL: "http://ci.local", Since: ago(time.Minute), Error: "it answered 500"}, {URL: "http://b.local", At: ago(time.Hour)}}
		f.Untold = true
	}), Good, []string{
		"http://ci.local is being told of a change of 2026-11-28 11:59:00 UTC (1 minute ago), and has not accepted it yet: it answered 500.",
		"http://b.local was last told of it on 2026-11-28 11:00:00 UTC (1 hour ago).",
		"It has changed, which 2 URLs will be told of as soon as all servers have it so.",
	}, []string{"what is here on"}},
	{"from a peer", pulled(func(f *Facts) { f.From = "b.local" }), Good, []string{"it read the peer b.local, which stood in for the origin https"}, nil},
	{"polled", pulled(func(f *Facts) { f.PollEvery, f.NextPoll = 5*time.Minute, now.Add(2*time.Minute) }), Good, []string{
		"It is pulled with the next POST.", "Its origin is looked at about every 5 minutes without a request, the next time on 2026-11-28 12:02:00 UTC (in 2 minutes).",
	}, nil},
	{"polled, and due", pulled(func(f *Facts) { f.PollEvery, f.NextPoll = 5*time.Minute, ago(time.Second) }), Good, []string{"and now as soon as its turn comes."}, nil},
	{"left alone", pulled(func(f *Facts) { f.LeftAlone, f.NextLook = now.Add(time.Minute), ago(time.Minute) }), Good, []string{
		"The next POST asks its origin at once.", "The host of its origin has asked to be left alone: reads and the poll do so until 2026-11-28 12:01:00 UTC (in 1 minute).",
	}, []string{"looked at", "next read"}},
	{"a broken hook", pulled(func(f *Facts) { f.HookBroken = ago(time.Hour) }), Warn, []string{
		"my/mirror is as its origin was on 2026-11-28 11:57:00 UTC (3 minutes ago), but its hook seems broken since 2026-11-28 11:00:00 UTC (1 hour ago).",
		"The poll has found changes since 2026-11-28 11:00:00 UTC (1 hour ago) that nobody had announced.", "See that the hook in the origin runs",
	}, nil},
	{"failing since", failing("can't list refs: origin did not answer within 10s"), Bad, []string{
		"could not be updated since 2026-11-28 10:00:00 UTC (2 hours ago).", "It failed: can't list refs: origin did not answer within 10s.",
		"What is served is what the origin had on 2026-11-28 11:57:00 UTC", "The next POST or read of it tries again.",
		"See that the origin's server is up",
	}, nil},
	{"failing, and left alone for a while", pulled(func(f *Facts) {
		f.Outcome, f.Error, f.NextTry = Failed, "boom", now.Add(40*time.Second)
	}), Bad, []string{
		"could not be updated the last time.", "not before 2026-11-28 12:00:40 UTC (in 40 seconds).", "Mend what the reason above names, then send a POST: curl",
	}, nil},
	{"a hint of git", failing("the origin wants a user: POST again with user:password in the URL: fatal"), Bad, []string{
		"Do what the reason above says: curl", "'origin=https://<user>:<password>@git.in.local/a.git'",
	}, nil},
	{"no answer, here and on a slave", pulled(func(f *Facts) {
		f.Outcome, f.Error = Failed, "can't list refs: fatal: unable to access 'https://git.in.local/a.git/': Failed to connect to git.in.local port 443"
		f.Servers = []Server{{Address: "s1", Slave: true, Relation: Equal, Error: f.Error + "; no peer can reach the origin either"}, {Address: "s2", Slave: true, Relation: Equal, Error: "boom"}}
	}), Bad, []string{
		"The slave s1 has the same. It failed for the same reason.", "The slave s2 has the same. It says: boom.", "See that the origin's server is up",
	}, nil},
	{"could not be made", nothing(func(f *Facts) {
		f.Asked, f.Outcome, f.Error, f.Failing = Asking{At: ago(time.Minute), By: "10.1.2.3"}, Failed, "can't list refs: boom", ago(time.Minute)
	}), Bad, []string{
		"my/mirror could not be made: this server has no such mirror yet.", "by 10.1.2.3.", "It failed: can't list refs: boom.",
		"This server has nothing of it.", "The next POST tries again.", "Mend what the reason above names, then send a POST: curl", "'origin=<clone URL>'",
	}, []string{"Check the spelling"}},
	{"could not be made, and is being made", nothing(func(f *Facts) {
		f.Outcome, f.Error, f.Runs = Failed, "boom", []Run{{ago(time.Second), ""}}
	}), Work, []string{"is being made", "Wait"}, []string{"boom", "tries again"}},
	{"could not be made again after it was removed", nothing(func(f *Facts) {
		f.Deleted, f.Origin, f.Outcome, f.Error = ago(time.Hour), "https://jack@git.in.local/a.git", Failed, "POST again with user:password in the URL"
	}), Bad, []string{"could not be made", "origin=https://<user>:<password>@git.in.local/a.git"}, []string{"trash"}},
	{"lost refs", failing("the origin has lost 90 of 100 refs; nothing was changed. If this is meant, POST again with accept=deletions"), Bad, []string{
		"send a POST with accept=deletions: curl", "--data-urlencode accept=deletions http://sould.local",
	}, nil},
	{"refused refs", failing(`refused 1 of 3 refs, which stay as they were; all others are what the origin has: the key fsck says what is refused`), Bad, []string{
		"say less strictly what is refused with the key fsck",
	}, nil},
	{"full disk", failing("write: no space left on device"), Bad, []string{"Free some disk space"}, nil},
	{"waiting for a place", pulled(func(f *Facts) { f.Runs = []Run{{ago(5 * time.Second), "waiting for other transfers"}} }), Work, []string{
		"is being updated.", "A pull runs since 2026-11-28 11:59:55 UTC (5 seconds ago): waiting for other transfers.",
	}, []string{"It is pulled with the next POST"}},
	{"transferring", nothing(func(f *Facts) { f.Runs = []Run{{ago(time.Minute), "Receiving objects: 34%"}} }), Work, []string{
		"is being made: this server has no such mirror yet.", "Receiving objects: 34%.", "Wait: this page tells when it is there.",
	}, nil},
	{"damaged", pulled(func(f *Facts) { f.Damage, f.NextRebuild = "missing blob 123", now.Add(time.Minute) }), Bad, []string{
		"is damaged.", "has found damage: missing blob 123.", "without one it is tried again after 2026-11-28 12:01:00 UTC (in 1 minute)", "Nothing has to be done if",
	}, []string{"All its objects were read"}},
	{"rebuilding", pulled(func(f *Facts) {
		f.Damage, f.Runs = "missing blob 123", []Run{{ago(time.Second), "building the mirror anew"}}
	}), Bad, []string{"is damaged.", "building the mirror anew.", "It is rebuilt from its origin, or else from another server"}, nil},
	{"rebuilt", pulled(func(f *Facts) { f.Rebuilt = ago(time.Hour) }), Good, []string{"was damaged, and rebuilt on 2026-11-28 11:00:00 UTC"}, nil},
	{"unreadable", pulled(func(f *Facts) { f.Unreadable, f.Outcome = "packed-refs: permission denied", Never }), Bad, []string{
		"cannot be read.", "This server has it, and cannot read it: packed-refs: permission denied.", "Send a POST, which rebuilds it: curl",
	}, []string{"There was none"}},
	{"shallow", pulled(func(f *Facts) { f.Shallow = true }), Warn, []string{
		"but a part of the history is missing.", "The mirror is shallow", "If the origin has the whole history by now",
	}, nil},
	{"empty", pulled(func(f *Facts) { f.Refs, f.Revision = 0, "" }), Warn, []string{
		"is empty, as its origin is", "answered with 409", "without a ref.", "Push something to the origin",
	}, nil},
	{"no default branch", pulled(func(f *Facts) { f.Refs, f.Revision = 1, "" }), Good, []string{"This server has 1 ref, and no default branch."}, nil},
	{"retained refs and odd objects", pulled(func(f *Facts) { f.Retained, f.Warnings = 3, []string{"zeroPaddedFilemode (2)"} }), Good, []string{
		"mirrored all the same: zeroPaddedFilemode (2).", "has replaced or deleted 3 refs, which this server keeps for 30 days.",
	}, nil},
	{"another origin was asked for", pulled(func(f *Facts) {
		f.Refused = refused("the mirror exists with the origin https://git.in.local/a.git. If it is to follow https://b, POST again with move=https://git.in.local/a.git")
	}), Good, []string{
		"A later request of 10.9.9.9 on 2026-11-28 11:59:00 UTC (1 minute ago) was refused: the mirror exists",
		"names the former one: curl", "move=https://git.in.local/a.git",
	}, nil},
	{"refused before", pulled(func(f *Facts) { f.Refused = refused("no"); f.Asked.At = now }), Good, nil, []string{"refused"}},
	{"origin not allowed", nothing(func(f *Facts) {
		f.Refused = refused("the origin https://evil is none of those that this server may mirror: its configuration (origins) does not name it")
	}), None, []string{"is not here", "was refused: the origin https://evil", "add this one to the key origins"}, []string{"Check the spelling"}},
	{"local path without --unsecure", nothing(func(f *Facts) { f.Refused = refused("/srv/a is a local path, which only sould --unsecure reads") }), None, []string{
		"start the server with --unsecure.",
	}, nil},
	{"stored origin not allowed", pulled(func(f *Facts) { f.OriginRefused = "the configuration (origins) does not name it" }), Warn, []string{
		"is served, but not updated", "It is not pulled, but served as it is.", "Add its origin to the key origins", "move=https://git.in.local/a.git",
	}, nil},
	{"stored origin is a local path", pulled(func(f *Facts) {
		f.Origin, f.OriginRefused = "/srv/it's.git", "the origin /srv/it's.git is a local path, which only sould --unsecure reads"
	}), Warn, []string{"Move it to an origin that is no local path", `'move=/srv/it'\''s.git'`}, nil},
	{"deleted", nothing(func(f *Facts) { f.Deleted, f.Origin = ago(24*time.Hour), "https://git.in.local/a.git" }), None, []string{
		"was removed on 2026-11-27 12:00:00 UTC (1 day ago).", "This server has nothing of it.",
		"To have it again, send a POST: curl --data-urlencode name=my/mirror --data-urlencode origin=https://git.in.local/a.git", "trash",
	}, nil},
	{"deleted, and a slave still has it", nothing(func(f *Facts) {
		f.Deleted, f.Servers = ago(time.Hour), []Server{{Address: "s1", Slave: true, Relation: Removed, Next: now.Add(9 * time.Second)}}
	}), None, []string{"The slave s1 still has it, although it was removed here.", "The slave s1 is asked to remove it with the next comparison, on 2026-11-28 12:00:09 UTC"}, nil},
	{"unknown name", nothing(func(*Facts) {}), None, []string{
		"is not here: this server has no such mirror.", "Nobody has asked for it since this server started.", "Check the spelling.",
	}, nil},
	{"a name that a read makes", nothing(func(f *Facts) { f.OnRead, f.Origin = true, "https://git.in.local/a.git" }), None, []string{
		"Nobody has asked for it", "The first read of it makes it, from https://git.in.local/a.git.", "Read it, which makes it for this server.", "origin=https://git.in.local/a.git",
	}, []string{"Check the spelling"}},
	{"a read could not make it", nothing(func(f *Facts) {
		f.OnRead, f.Origin, f.Outcome, f.Error = true, "https://git.in.local/a.git", Failed, "boom"
	}), Bad, []string{
		"It failed: boom.", "The next POST or read of it tries again.", "origin=https://git.in.local/a.git",
	}, []string{"Nobody has asked", "<clone URL>"}},
	{"unknown name, and a peer has it", nothing(func(f *Facts) { f.Servers = []Server{{Address: "p1", Relation: Ahead}} }), None, []string{
		"The peer p1 has it.", "This server makes it, as p1 has it, with the next comparison, within 30 seconds.",
	}, nil},
	{"the server has a token", nothing(func(f *Facts) { f.Token = true }), None, []string{
		`send a POST: curl --header "Authorization: Bearer $TOKEN" --data-urlencode name=my/mirror`, " http://sould.local\n", "The variable TOKEN",
	}, []string{"master"}},
	{"a slave fails", func() Facts { f := failing("connection refused, too many"); f.Slave = true; return f }(), Bad, []string{"Wait a little"}, []string{"on the master"}},
	{"a slave lacks it", nothing(func(f *Facts) { f.Slave = true }), None, []string{
		"'origin=<clone URL>' 'http://<master>'\n", "Send the POST on the master of the cluster",
	}, []string{"http://sould.local", "TOKEN"}},
	{"just started", nothing(func(f *Facts) { f.Loading = true }), Work, []string{"is not known yet", "Wait"}, nil},
	{"storage missing", pulled(func(f *Facts) {
		f.Storage, f.Servers = "/srv/sould is another directory", []Server{{Address: "p1", Relation: Ahead, Revision: "8d3f2a1c9b7e0011"}}
	}), Bad, []string{
		"cannot be read: the storage of this server cannot be used.", "This server cannot tell: /srv/sould is another directory.",
		"The peer p1 has it (at 8d3f2a1c9b7e).",
		"looks for its storage again", "See that the storage of this server is mounted",
	}, nil},
	{"slave behind", pulled(func(f *Facts) {
		f.Servers = []Server{
			{Address: "s1", Slave: true, Relation: Equal},
			{Address: "s2", Slave: true, Relation: Behind, Revision: "0123456789abcdef", Pulled: ago(time.Hour), Error: "disk full", NextTry: now.Add(time.Minute)},
		}
	}), Warn, []string{
		"is up to date here, but not on s2.", "The slave s1 has the same.",
		"The slave s2 is behind (at 0123456789ab), which it pulled on 2026-11-28 11:00:00 UTC (1 hour ago). It says: disk full.",
		"The slave s2 is asked to pull it on 2026-11-28 12:01:00 UTC (in 1 minute), since the last try did not help.", "To have s2 pull it at once",
	}, nil},
	{"slave lacks it, nothing is repaired", pulled(func(f *Facts) {
		f.Repair, f.Servers = 0, []Server{{Address: "s2", Slave: true, Relation: Missing}}
	}), Warn, []string{"The slave s2 has no such mirror.", "because the key repair is 0."}, nil},
	{"slave ahead", pulled(func(f *Facts) { f.Servers = []Server{{Address: "s2", Slave: true, Relation: Ahead}} }), Good, []string{
		"The slave s2 has something newer.", "This server pulls it, as the slave s2 did, with the next comparison",
	}, nil},
	{"peer ahead", pulled(func(f *Facts) { f.Servers = []Server{{Address: "p1", Relation: Ahead}} }), Good, []string{
		"The peer p1 has something newer.", "If the origin cannot be reached, the next pull takes what p1 has.",
	}, nil},
	{"made on demand, there and not there", pulled(func(f *Facts) {
		f.Servers = []Server{{Address: "s1", Slave: true, Relation: Apart, Revision: "0123456789abcdef"}, {Address: "p1", Relation: Apart}}
	}), Good, []string{"The slave s1 has one of its own (at 0123456789ab).", "The peer p1 has none: what is made on demand is each server's own."}, nil},
	{"slave busy, peer odd", pulled(func(f *Facts) {
		f.Servers = []Server{{Address: "s1", Slave: true, Relation: Busy}, {Address: "p1", Relation: Other}}
	}), Good, []string{"The slave s1 is pulling it now.", "The peer p1 has something else."}, nil},
	{"slave down", pulled(func(f *Facts) {
		f.Servers = []Server{{Address: "s1", Slave: true, Relation: Unasked, Error: "connection refused", Since: ago(time.Hour)}, {Address: "s2", Slave: true, Relation: Unasked}}
	}), Good, []string{
		"The slave s1 cannot be asked since 2026-11-28 11:00:00 UTC (1 hour ago): connection refused.",
		"The slave s2 has not been asked since the mirror here has changed.",
		"The slave s1 is compared again until it answers, at least every 30 seconds: what it has missed, it pulls as soon as it is back.",
		"See that s1 is up",
	}, []string{"See that s2", "The slave s2 is compared"}},
	{"slave down, nothing is repaired", pulled(func(f *Facts) {
		f.Repair, f.Servers = 0, []Server{{Address: "s1", Slave: true, Relation: Unasked, Error: "connection refused", Since: ago(time.Hour)}}
	}), Good, []string{"What the slave s1 misses, it gets with the next POST, because the key repair is 0."}, []string{"as soon as it is back"}},
	{"peer down", pulled(func(f *Facts) { f.Servers = []Server{{Address: "p1", Relation: Unasked, Error: "connection refused"}} }), Good, nil, []string{"as soon as it is back"}},
}

func TestExplain(t *testing.T) {
	for _, c := range situations {
		t.Run(c.name, func(t *testing.T) {
			a := Explain(c.facts)
			text := a.String()
			if a.Level != c.level {
				t.Errorf("level %s, not %s", a.Level, c.level)
			}
			rest := text
			for _, words := range c.says {
				at := strings.Index(rest, words)
				if at < 0 {
					t.Errorf("it does not say %q, or not in its place:\n%s", words, text)
					break
				}
				rest = rest[at+len(words):]
			}
			for _, words := range c.never {
				if strings.Contains(text, words) {
					t.Errorf("it says %q:\n%s", words, text)
				}
			}
			checkSentences(t, a)
		})
	}
}

// checkSentences checks what holds in every situation: each sentence is one line, ends as a sentence
// or with a command, and names no date that nobody knows.
func checkSentences(t *testing.T, a Answer) {
	for _, part := range a.Parts {
		for _, s := range append(part.Sentences, a.Headline) {
			ends := strings.HasSuffix(s, ".") || strings.Contains(s, "curl ")
			if !ends || strings.Contains(s, "..") || strings.Contains(s, "0001-01-01") || strings.Contains(s, "\n") || strings.Contains(s, "  ") {
				t.Errorf("%s: %q", part.Title, s)
			}
		}
	}
}

func TestLink(t *testing.T) {
	for _, c := range []struct{ base, name, want string }{
		{"http://a:80", "my/a+b@c~d", "http://a:80/x/why/my/a+b@c~d"},
		{"", "m", "/x/why/m"},
	} {
		if got := Link(c.base, c.name); got != c.want {
			t.Errorf("%s %s: %s", c.base, c.name, got)
		}
	}
}

// TestDemand: what becomes of a mirror that a read has made, and what has become of it.
func TestDemand(t *testing.T) {
	made := Demand{
		Prefix: "github.com/", Made: true, Read: ago(time.Hour), Unused: time.Hour, Idle: 30 * 24 * time.Hour,
		Size: 5 << 20, MaxSize: 1 << 30, Used: 3 << 30, Quota: 200 << 30,
	}
	with := func(change func(*Demand)) Facts {
		return pulled(func(f *Facts) { f.Demand = made; change(&f.Demand) })
	}
	without := func(why string) Facts {
		return nothing(func(f *Facts) {
			f.Demand = Demand{Removed: ago(time.Minute), RemovedWhy: why, RemovedUnused: 48 * time.Hour}
		})
	}
	for _, test := range []struct {
		facts Facts
		says  []string
		never string
	}{
		{with(func(*Demand) {}), []string{"last read on 2026-11-28 11:00:00 UTC (1 hour ago)", "It takes 5.0 MiB on disk.", "will be removed in 29 days if nobody reads it",
			"below github.com/ take 3.0 GiB of their quota of 200 GiB"}, "max_size"},
		{with(func(d *Demand) { d.Over, d.Size = true, 2<<30 }), []string{"2.0 GiB on disk, which is more than max_size permits (1.0 GiB): it is the next to go"}, ""},
		{with(func(d *Demand) { d.Unused = d.Idle }), []string{"will be removed in a moment: nobody has read it for 30 days"}, ""},
		{with(func(d *Demand) { d.Idle, d.Quota, d.Read = 0, 0, time.Time{} }), []string{"on disk."}, "removed"},
		{with(func(d *Demand) { d.Made = false }), nil, "on disk"},
		{without("idle"), []string{"A read had made it, and it was removed on 2026-11-28 11:59:00 UTC (1 minute ago), because nobody had read it for 2 days.", "makes it again"}, "Nobody has asked"},
		{without("room"), []string{"others needed its room, and nobody had read it for 2 days"}, ""},
		{without("max_size"), []string{"others needed its room, and it was larger than max_size"}, ""},
	} {
		text := Explain(test.facts).String()
		for _, words := range test.says {
			if !strings.Contains(text, words) {
				t.Errorf("%q is missing in\n%s", words, text)
			}
		}
		if test.never != "" && strings.Contains(text, test.never) {
			t.Errorf("%q is in\n%s", test.never, text)
		}
	}
}
