package git

import (
	"bytes"
	"context"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/reconquest/sould/internal/pktline"
)

// serveSettings are the settings for answers to git clients. They override those of the
// repository.
var serveSettings = []string{
	"uploadpack.allowFilter", "true",

	// A client may fetch an object that it was shown, although the ref has moved or is gone
	// since then. Version 2 of the protocol permits to fetch any object; with this, versions 0
	// and 1 do too.
	"uploadpack.allowAnySHA1InWant", "true",

	"transfer.hideRefs", "refs/sould",
	"transfer.hideRefs", "refs/replace",

	// All repositories must offer the same.
	"uploadpack.allowRefInWant", "false",
	"uploadpack.allowSidebandAll", "true", // offered only while a mirror is made: see Greeting
	"uploadpack.keepAlive", "5", // seconds
	"uploadpackfilter.allow", "true",
	// This filter names a file by any revision syntax, also through hidden refs. If there is no
	// such file, git reports corruption.
	"uploadpackfilter.sparse:oid.allow", "false",
	"transfer.advertiseSID", "false",
	"lsrefs.unborn", "advertise",
}

// uploadPackTimeout is after how many seconds without a byte from or to its client git upload-pack
// gives up. The caller is expected to notice earlier.
const uploadPackTimeout = 600

// uploadPack is a call of git upload-pack for one exchange over HTTP. A repository cannot make
// it start a program: git does not read uploadpack.packObjectsHook from a repository's
// configuration (git-config(1)).
func (r Repo) uploadPack(version int, options ...string) command {
	args := append([]string{"--strict", "--stateless-rpc", "--timeout=" + strconv.Itoa(uploadPackTimeout)}, options...)
	return command{
		name: "upload-pack", dir: r.Dir, helpers: true,
		args:     append(args, "--", r.Dir),
		settings: serveSettings,
		env:      []string{"GIT_PROTOCOL=version=" + strconv.Itoa(version)},
	}
}

// Advertise returns what a client is sent first in that version of the protocol: in versions 0
// and 1 the refs and the capabilities, in version 2 the capabilities alone.
func (r Repo) Advertise(ctx context.Context, version int) ([]byte, error) {
	return r.git.output(ctx, r.uploadPack(version, "--advertise-refs"))
}

// UploadPack answers the request of a client. The request must be complete: no process waits
// for a slow client. An error of w is returned as it is; every other one is an [*Error].
func (r Repo) UploadPack(ctx context.Context, version int, request io.Reader, w io.Writer) error {
	c := r.uploadPack(version)
	c.stdin, c.stdout = request, w
	return r.git.run(ctx, c)
}

// Answer is UploadPack for a small answer, such as a list of refs.
func (r Repo) Answer(ctx context.Context, version int, request io.Reader) ([]byte, error) {
	var answer bytes.Buffer
	err := r.UploadPack(ctx, version, request, &limitedWriter{w: &answer, left: maxOutput})
	return answer.Bytes(), err
}

// requestError are the words with which git upload-pack refuses an invalid request.
var requestError = regexp.MustCompile(`protocol error|not our ref|unknown capability|unknown object format|` +
	`mismatched object format|invalid command|no command requested|requested after already requesting|` +
	`unexpected line|expected (flush|a flush|no other|shallow)|hung up unexpectedly|invalid (shallow|deepen|filter)|` +
	`Invalid deepen|sparse:path filters|expected 'tree:|valid object type|expected something after combine|must escape char|` +
	`no commits selected for shallow requests|expected SHA1 (object|list), got|capability requires an argument|` +
	`cannot be used together|multiple filter-specs|filter '[^']*' not supported|git upload-pack: (ambiguous|deepen)`)

// ErrorPacket is the packet that tells a client of a request error. Clients accept it in place
// of any answer, and show it (gitprotocol-pack(5), "error-line").
func ErrorPacket(err error) []byte {
	text := strings.ToValidUTF8(strings.TrimPrefix(err.Error(), "fatal: "), "")
	return pktline.Append(nil, "ERR ", text[:min(len(text), maxStderr)], "\n")
}

// BeginsWithError reports whether an answer to a client begins with an error in git's own form, or with
// one on the band for errors (gitprotocol-pack(5), "side-band").
func BeginsWithError(answer []byte) bool {
	return len(answer) >= 8 && (string(answer[4:8]) == "ERR " || answer[4] == 3)
}

var notOurRef = regexp.MustCompile(`not our ref ([0-9a-f]{40,64})`)

// UnknownObject returns the id of the object that a client asked for and git does not have, or
// "".
func UnknownObject(err error) string {
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

// IsRequestError reports whether git refused a client's request, and did not fail to fulfil it.
// If an object is missing because it is damaged, git prints an "error:" before.
func IsRequestError(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Err == nil && e.Signal == 0 &&
		requestError.MatchString(e.Stderr) && !strings.Contains(e.Stderr, "error: ")
}
