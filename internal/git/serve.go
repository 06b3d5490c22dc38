package git

import (
	"bytes"
	"context"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// serving are the settings of what git clients are answered, whatever the repository's
// own configuration says.
var serving = []string{
	"uploadpack.allowFilter", "true",

	// A client may fetch what it was shown, although the ref has moved on, or is gone,
	// before it asks for the objects. Version 2 of the protocol lets it fetch any
	// object that is there; this lets 0 and 1 do the same.
	"uploadpack.allowAnySHA1InWant", "true",

	"transfer.hideRefs", "refs/sould",
	"transfer.hideRefs", "refs/replace",

	// What is offered must not differ from one repository to the next.
	"uploadpack.allowRefInWant", "false",
	"uploadpack.allowSidebandAll", "false",
	"uploadpack.keepAlive", "5", // seconds
	"uploadpackfilter.allow", "true",
	// This one names a file by any words for a revision, those of hidden refs too, and
	// where there is none git speaks of corruption.
	"uploadpackfilter.sparse:oid.allow", "false",
	"transfer.advertiseSID", "false",
	"lsrefs.unborn", "advertise",
}

// idle is after how many seconds without a byte from or to its client git upload-pack
// gives up. The caller is expected to notice earlier.
const idle = 600

// uploadPack is a call of git upload-pack for one exchange over HTTP. Its
// configuration uploadpack.packObjectsHook, a program, git takes only from its user
// and from us, never from the repository (git-config(1)).
func (r Repo) uploadPack(version int, options ...string) command {
	args := append([]string{"--strict", "--stateless-rpc", "--timeout=" + strconv.Itoa(idle)}, options...)
	return command{
		name: "upload-pack", dir: r.Dir, helpers: true,
		args:     append(args, "--", r.Dir),
		settings: serving,
		env:      []string{"GIT_PROTOCOL=version=" + strconv.Itoa(version)},
	}
}

// Advertise returns what a client is greeted with in that version of the protocol (0,
// 1 or 2): the refs, and what the server can do; in version 2 the latter alone.
func (r Repo) Advertise(ctx context.Context, version int) ([]byte, error) {
	return r.git.output(ctx, r.uploadPack(version, "--advertise-refs"))
}

// UploadPack answers the request of a client, which must be all there: no process
// waits for a client that is slow to say what it wants. An error of w is returned as
// it is; every other one is an [*Error].
func (r Repo) UploadPack(ctx context.Context, version int, request io.Reader, w io.Writer) error {
	c := r.uploadPack(version)
	c.stdin, c.stdout = request, w
	return r.git.run(ctx, c)
}

// Answer is UploadPack for an answer that is small, such as a list of refs.
func (r Repo) Answer(ctx context.Context, version int, request io.Reader) ([]byte, error) {
	var answer bytes.Buffer
	err := r.UploadPack(ctx, version, request, &limitedWriter{w: &answer, left: maxOutput})
	return answer.Bytes(), err
}

// requestError are the words with which git upload-pack refuses a request that makes no
// sense to it.
var requestError = regexp.MustCompile(`protocol error|not our ref|unknown capability|unknown object format|` +
	`mismatched object format|invalid command|no command requested|requested after already requesting|` +
	`unexpected line|expected (flush|a flush|no other|shallow)|hung up unexpectedly|invalid (shallow|deepen|filter)|` +
	`Invalid deepen|sparse:path filters|expected 'tree:|valid object type|expected something after combine|must escape char|` +
	`no commits selected for shallow requests|expected SHA1 (object|list), got|capability requires an argument|` +
	`cannot be used together|multiple filter-specs|filter '[^']*' not supported|git upload-pack: (ambiguous|deepen)`)

// Refusal is a request error in git's own form: what a client reads in the place of whatever
// it waits for, and shows (gitprotocol-pack(5), "error-line").
func Refusal(err error) []byte {
	text := strings.ToValidUTF8(strings.TrimPrefix(err.Error(), "fatal: "), "")
	return appendPacket(nil, "ERR ", text[:min(len(text), maxStderr)], "\n")
}

var notOurRef = regexp.MustCompile(`not our ref ([0-9a-f]{40,64})`)

// Unknown returns the id of the object that a client asked for and git does not have, or "".
func Unknown(err error) string {
	var e *Error
	if !errors.As(err, &e) {
		return ""
	}
	found := notOurRef.FindStringSubmatch(e.Stderr)
	if found == nil {
		return ""
	}
	return found[1]
}

// IsRequestError reports whether git refused a client's request, rather than failed to
// do what it asks for: an object that nobody has can also be one that is damaged, and
// then git says so before.
func IsRequestError(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Err == nil && e.Signal == 0 &&
		requestError.MatchString(e.Stderr) && !strings.Contains(e.Stderr, "error: ")
}
