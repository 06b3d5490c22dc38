package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/reconquest/sould/internal/git/gittest"
)

// someTar returns a tar with each kind of entry that git makes.
func someTar(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	random := rand.New(rand.NewPCG(3, 4))
	text := make([]byte, 300_000)
	for i := range text {
		text[i] = "abcdefgh \n"[random.IntN(10)]
	}
	when := time.Unix(1_000_000_000, 0)
	for _, e := range []struct {
		header tar.Header
		body   []byte
	}{
		{tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": gittest.ID("c")}}, nil},
		{tar.Header{Typeflag: tar.TypeDir, Name: "dir/", Mode: 0o775, ModTime: when}, nil},
		{tar.Header{Typeflag: tar.TypeReg, Name: "dir/text ü", Mode: 0o664, ModTime: when, Size: int64(len(text))}, text},
		{tar.Header{Typeflag: tar.TypeReg, Name: "run.sh", Mode: 0o775, ModTime: when, Size: 2}, []byte("x\n")},
		{tar.Header{Typeflag: tar.TypeReg, Name: "empty", Mode: 0o664, ModTime: when}, nil},
		{tar.Header{Typeflag: tar.TypeSymlink, Name: "link", Linkname: "dir/text ü", Mode: 0o777, ModTime: when}, nil},
	} {
		if err := w.WriteHeader(&e.header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b.Write(make([]byte, 8192)) // git pads the last block
	return b.Bytes()
}

func encoded(t *testing.T, name string, tarred []byte) []byte {
	t.Helper()
	return encodedInPieces(t, name, tarred, func() int { return 64 << 10 })
}

// encodedInPieces encodes a tar that comes in pieces of these sizes.
func encodedInPieces(t *testing.T, name string, tarred []byte, size func() int) []byte {
	t.Helper()
	var b bytes.Buffer
	err := FindFormat(name).encode(&b, func(w io.Writer) error {
		for rest := tarred; len(rest) > 0; {
			n := min(len(rest), size())
			if _, err := w.Write(rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return b.Bytes()
}

// TestEncodingIsPinned fails when the bytes of an archive change, for example with
// a new version of a compressor. Then the constant encoding must change as well.
func TestEncodingIsPinned(t *testing.T) {
	tarred := someTar(t)
	for name, want := range map[string]string{
		"tar":     "8605a3764e3b",
		"tar.gz":  "e0b2f8f72273",
		"tar.zst": "81c31b95e450",
		"zip":     "d25d3f28f621",
	} {
		sum := sha256.Sum256(encoded(t, name, tarred))
		if got := hex.EncodeToString(sum[:6]); got != want {
			t.Errorf("%s: the digest of encoding %s is %s, it was %s", name, encoding, got, want)
		}
	}
}

// TestEncodingDependsOnTheTarAlone: not on the pieces in which a pipe delivers it, nor on the
// machine.
func TestEncodingDependsOnTheTarAlone(t *testing.T) {
	tarred := bytes.Repeat(someTar(t), 8) // a zip has only the first one
	random := rand.New(rand.NewPCG(5, 6))
	for _, f := range formats {
		want := encoded(t, f.Name, tarred)
		for what, size := range map[string]func() int{
			"one piece": func() int { return len(tarred) },
			"odd sizes": func() int { return 1 + random.IntN(9000) },
			"one CPU":   func() int { runtime.Gosched(); return 1 << 20 },
		} {
			procs := runtime.NumCPU()
			if what == "one CPU" {
				procs = 1
			}
			before := runtime.GOMAXPROCS(procs)
			got := encodedInPieces(t, f.Name, tarred, size)
			runtime.GOMAXPROCS(before)
			if !bytes.Equal(got, want) {
				t.Errorf("%s: %s gives other bytes", f.Name, what)
			}
		}
	}
}

func TestFormatsHoldTheSame(t *testing.T) {
	tarred := someTar(t)
	gz, err := gzip.NewReader(bytes.NewReader(encoded(t, "tar.gz", tarred)))
	if err != nil {
		t.Fatal(err)
	}
	zst, err := zstd.NewReader(bytes.NewReader(encoded(t, "tar.zst", tarred)))
	if err != nil {
		t.Fatal(err)
	}
	defer zst.Close()
	for name, r := range map[string]io.Reader{"tar.gz": gz, "tar.zst": zst} {
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, tarred) {
			t.Errorf("%s holds %d bytes of %d, %v", name, len(got), len(tarred), err)
		}
	}

	b := encoded(t, "zip", tarred)
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if z.Comment != gittest.ID("c") {
		t.Errorf("the comment is %q", z.Comment)
	}
	var got []string
	for _, f := range z.File {
		got = append(got, f.Name+" "+f.Mode().String())
		if !f.Modified.Equal(time.Unix(1_000_000_000, 0)) {
			t.Errorf("%s is of %s", f.Name, f.Modified)
		}
	}
	if want := "dir/ drwxrwxr-x, dir/text ü -rw-rw-r--, run.sh -rwxrwxr-x, empty -rw-rw-r--, link Lrwxrwxrwx"; strings.Join(got, ", ") != want {
		t.Errorf("the zip holds %s", strings.Join(got, ", "))
	}
	link, err := fs.ReadFile(z, "link")
	if err != nil || string(link) != "dir/text ü" {
		t.Errorf("the link holds %q, %v", link, err)
	}
}

// TestAFailedArchiveLooksIncomplete: nobody may mistake the bytes before a failure for a whole
// archive.
func TestAFailedArchiveLooksIncomplete(t *testing.T) {
	tarred, broken := someTar(t), errors.New("broken")
	for _, f := range formats {
		var b bytes.Buffer
		err := f.encode(&b, func(w io.Writer) error {
			if _, err := w.Write(tarred[:len(tarred)/2]); err != nil {
				return err
			}
			return broken
		})
		if !errors.Is(err, broken) {
			t.Errorf("%s: %v", f.Name, err)
		}
		part, err := b.Bytes(), error(nil)
		switch f.Name {
		case "tar.gz":
			var r *gzip.Reader
			if r, err = gzip.NewReader(bytes.NewReader(part)); err == nil {
				_, err = io.ReadAll(r)
			}
		case "tar.zst":
			var r *zstd.Decoder
			if r, err = zstd.NewReader(bytes.NewReader(part)); err == nil {
				_, err = io.ReadAll(r)
				r.Close()
			}
			if len(part) == 0 {
				err = io.ErrUnexpectedEOF
			}
		case "zip":
			_, err = zip.NewReader(bytes.NewReader(part), int64(len(part)))
		default:
			continue
		}
		if err == nil {
			t.Errorf("%s: a part looks complete", f.Name)
		}
	}
	full := errors.New("no space")
	for _, f := range formats {
		err := f.encode(failWriter{full}, func(w io.Writer) error {
			for range 100 {
				if _, err := w.Write(tarred); err != nil {
					return err
				}
			}
			return nil
		})
		if !errors.Is(err, full) {
			t.Errorf("%s: an error of the writer became %v", f.Name, err)
		}
	}
}

type failWriter struct{ err error }

func (f failWriter) Write([]byte) (int, error) { return 0, f.err }
