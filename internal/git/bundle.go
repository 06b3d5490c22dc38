package git

import (
	"bufio"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// Bundle writes refs and all that they lead to as a bundle, in the format of git-bundle(1)
// (gitformat-bundle(5)). If there is a HEAD, it comes first, as a clone of the bundle needs it. The
// refs are those of the listing, whatever the repository has by now; it must hold their objects
// with their whole history.
func (r Repo) Bundle(ctx context.Context, l Listing, w io.Writer) error {
	if err := BundleHeader(w, l); err != nil {
		return err
	}
	var ids strings.Builder
	for _, ref := range l.Refs {
		ids.WriteString(ref.ID + "\n")
	}
	if l.Head.Detached() {
		ids.WriteString(l.Head.ID + "\n")
	}
	return r.git.run(ctx, command{
		name: "pack-objects", dir: r.Dir,
		args:  []string{"--revs", "--stdout", "--delta-base-offset", "--quiet"},
		stdin: strings.NewReader(ids.String()), stdout: w,
	})
}

// BundleHeader writes what stands before the pack of a bundle: the refs. Only SHA-256 needs
// version 3.
func BundleHeader(w io.Writer, l Listing) error {
	b := bufio.NewWriterSize(w, 64<<10)
	if l.IDLength() == 64 {
		b.WriteString("# v3 git bundle\n@object-format=sha256\n")
	} else {
		b.WriteString("# v2 git bundle\n")
	}
	if l.Head.ID != "" {
		fmt.Fprintf(b, "%s HEAD\n", l.Head.ID)
	}
	for _, ref := range l.Refs {
		fmt.Fprintf(b, "%s %s\n", ref.ID, ref.Name)
	}
	b.WriteString("\n")
	return b.Flush()
}

// BundleID tells the bundles of different refs apart. It is in hex.
func BundleID(l Listing) string {
	h := sha256.New()
	_ = BundleHeader(h, l) // a hash takes in everything
	return hex.EncodeToString(h.Sum(nil))
}

// BundleDigest is a digest, in hex, that two bundles have in common only if all their bytes are the
// same: of the refs, and of the digest of the pack, which is at the end of a bundle of size bytes.
func BundleDigest(bundle io.ReaderAt, size int64) (string, error) {
	h := sha256.New()
	header := bufio.NewReaderSize(io.NewSectionReader(bundle, 0, size), 64<<10)
	end := make([]byte, sha1.Size)
	for line := ""; line != "\n"; {
		var err error
		if line, err = header.ReadString('\n'); err != nil {
			return "", fmt.Errorf("the bundle has no header: %w", err)
		}
		if line == "@object-format=sha256\n" {
			end = make([]byte, sha256.Size)
		}
		io.WriteString(h, line)
	}
	if _, err := bundle.ReadAt(end, max(size-int64(len(end)), 0)); err != nil {
		return "", err
	}
	h.Write(end)
	return hex.EncodeToString(h.Sum(nil)[:20]), nil
}
