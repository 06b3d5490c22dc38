package why

import (
	"slices"
	"strings"
)

// unknownOrigin stands in a command for a URL that the reader knows.
const unknownOrigin = "<clone URL>"

// masterURL stands in a command for the URL of a master, which its slaves do not know.
const masterURL = "http://<master>"

// advice says what the reader can do, and what its commands need.
func (f Facts) advice() []string {
	all := f.actions()
	if slices.ContainsFunc(all, func(s string) bool { return strings.Contains(s, ": curl ") }) {
		if f.Slave {
			all = append(all, "Send the POST on the master of the cluster, which passes it on: one that is sent to this server reaches this server alone.")
		}
		if f.Token {
			all = append(all, "The variable TOKEN in the command stands for the server's token, which is the same on all servers of the cluster.")
		}
	}
	return all
}

// actions are what the reader can do.
func (f Facts) actions() []string {
	switch {
	case f.Storage != "":
		return []string{"See that the storage of this server is mounted, that it is the one with which the server was started, and that it can be written."}
	case !f.Exists:
		return f.adviceOnMissing()
	case f.Refused.At.After(f.Asked.At):
		return append(f.adviceOnRefusal(), f.adviceOnMirror()...)
	default:
		return f.adviceOnMirror()
	}
}

// adviceOnMissing is for a name that no mirror has.
func (f Facts) adviceOnMissing() []string {
	switch {
	case len(f.Runs) > 0, f.Loading:
		return []string{"Wait: this page tells when it is there."}
	case f.Refused.At.After(f.Asked.At):
		return f.adviceOnRefusal()
	case f.Outcome == Failed:
		return []string{f.remedy()}
	case !f.Deleted.IsZero():
		return []string{"To have it again, send a POST: " + f.post(f.originOr(unknownOrigin)),
			"What was removed lies in the trash of the storage (.sould/trash) for as long as the key keep says."}
	case f.OnRead:
		return []string{"Read it, which makes it for this server. To make it on all servers, send a POST: " + f.post(f.Origin)}
	default:
		return []string{"Check the spelling. To make the mirror, send a POST: " + f.post(f.originOr(unknownOrigin))}
	}
}

// adviceOnRefusal is for whoever has sent a request that was refused.
func (f Facts) adviceOnRefusal() []string {
	words := f.Refused.Words
	switch {
	case strings.Contains(words, "move="):
		return []string{"If the mirror is to follow the other origin, send a POST that names the former one: " +
			f.post(unknownOrigin, "move="+f.originOr(unknownOrigin))}
	case strings.Contains(words, "--unsecure"):
		return []string{"Send a POST with a URL that the server can reach over https, ssh or git, or start the server with --unsecure."}
	case strings.Contains(words, "(origins)"):
		return []string{"Send a POST with an origin that the server may mirror, or add this one to the key origins of its configuration."}
	default:
		return []string{"Correct what the refusal names, and send the POST again."}
	}
}

// remedies are what to do about a failed pull, by words of its error. The first that fits is given.
var remedies = []struct{ words, advice string }{
	{"accept=deletions", "If the origin really is to lose these refs, send a POST with accept=deletions: POST"},
	{"the key fsck", "Have the owner of the repository remove the refs that are refused, or say less strictly what is refused with the key fsck."},
	{"no space left", "Free some disk space on this server, then send a POST again."},
	{"read-only file system", "Make the storage of this server writable, then send a POST again."},
	{"too many", "Wait a little, then send a POST again."},
	{"did not answer within", "See that the origin's server is up, and that this server can reach it."},
	{"could not resolve host", "Check the host in the origin's URL, and the name service of this server."},
	{"no such host", "Check the host in the origin's URL, and the name service of this server."},
	{"failed to connect", "See that the origin's server is up, and that this server can reach it."},
	{"no connection to the ssh server", "See that the origin's server is up, and that this server can reach it."},
	{"connection refused", "See that the origin's server is up, and that this server can reach it."},
	{"POST again", "Do what the reason above says: POST"},
	{"does not appear to be a git repository", "Check the URL of the origin, and that it is a git repository."},
	{"not found", "Check the URL of the origin, and that the user of this server may read it."},
}

// adviceOnMirror is for a mirror that is there.
func (f Facts) adviceOnMirror() []string {
	switch {
	case f.Unreadable != "":
		return []string{"Send a POST, which rebuilds it: " + f.post(f.originOr(unknownOrigin)),
			"Or restore its directory in the storage from a backup."}
	case f.Damage != "":
		return []string{"Nothing has to be done if its origin or another server can be reached. To try at once: " + f.post(f.originOr(unknownOrigin)),
			"Damage comes from disks and from hands: look into the system's log."}
	case f.Origin == "":
		return []string{"Send a POST, which sets its origin: " + f.post(unknownOrigin)}
	case strings.Contains(f.OriginRefused, "--unsecure"):
		return []string{"Move it to an origin that is no local path, or start the server with --unsecure: " + f.post(unknownOrigin, "move="+f.Origin)}
	case f.OriginRefused != "":
		return []string{"Add its origin to the key origins of the configuration, or move it to another one: " + f.post(unknownOrigin, "move="+f.Origin)}
	case !f.Gone.IsZero():
		return []string{"If the repository is elsewhere now, let the mirror follow it: " + f.post(unknownOrigin, "move="+f.Origin),
			"If nobody needs the mirror any more, remove it with DELETE; otherwise nothing has to be done."}
	case f.Outcome == Failed && len(f.Runs) == 0:
		return []string{f.remedy()}
	case f.Outcome == Never && len(f.Runs) == 0:
		return []string{"Read it, or send a POST: " + f.post(f.Origin)}
	case f.isEmpty() && len(f.Runs) == 0:
		return []string{"Push something to the origin, then send a POST: " + f.post(f.Origin)}
	case !f.HookBroken.IsZero():
		return []string{"See that the hook in the origin runs, and what it says; see docs/poll.md. The next change that it announces in time ends this."}
	case f.Shallow:
		return []string{"If the origin has the whole history by now, send a POST, which fetches it: " + f.post(f.Origin)}
	default:
		return f.adviceOnServers()
	}
}

// remedy says what to do about the error of the latest pull.
func (f Facts) remedy() string {
	for _, r := range remedies {
		if strings.Contains(strings.ToLower(f.Error), strings.ToLower(r.words)) {
			advice, command := strings.CutSuffix(r.advice, "POST")
			switch {
			case command && r.words == "accept=deletions":
				return advice + f.post(f.originOr(unknownOrigin), "accept=deletions")
			case command && strings.Contains(f.Error, "user:password"):
				return advice + f.post(withPassword(f.Origin))
			case command:
				return advice + f.post(f.originOr(unknownOrigin))
			}
			return advice
		}
	}
	return "Mend what the reason above names, then send a POST: " + f.post(f.originOr(unknownOrigin))
}

// adviceOnServers is about other servers that have something else.
func (f Facts) adviceOnServers() (all []string) {
	for _, s := range f.Servers {
		switch {
		case s.Slave && s.Relation == Unasked && s.Error != "":
			all = append(all, "See that "+s.Address+" is up, and that this server can reach it.")
		case s.Slave && (s.Relation == Behind || s.Relation == Missing):
			all = append(all, "To have "+s.Address+" pull it at once, send a POST: "+f.post(f.Origin))
		}
	}
	return all
}

// withPassword returns the URL of an origin with a place for a user and a password.
func withPassword(url string) string {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return unknownOrigin
	}
	if host, path, _ := strings.Cut(rest, "/"); strings.Contains(host, "@") {
		_, host, _ = strings.Cut(host, "@")
		rest = host + "/" + path
	}
	return scheme + "://<user>:<password>@" + rest
}

func (f Facts) originOr(other string) string {
	if f.Origin == "" {
		return other
	}
	return f.Origin
}
