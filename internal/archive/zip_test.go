package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"

	"github.com/reconquest/sould/tests/origin"
)

// oddTar returns the tar that git makes of a commit with odd names, links and sizes.
func oddTar(t *testing.T) (tarred []byte, contents map[string]string) {
	t.Helper()
	random := rand.NewChaCha8([32]byte{})
	noise := make([]byte, 3000)
	_, _ = random.Read(noise)
	contents = map[string]string{
		"empty": "", "small": strings.Repeat("text\n", 100), "noise": string(noise),
		"large":      strings.Repeat("0123456789abcdef", maxHeld/16) + "x",
		"larger":     strings.Repeat("comes after a large one\n", 9),
		"full block": strings.Repeat("x", tarBlock),
		"-conf":      "a dash\n", "a\nb\x01": "control characters\n", "\xff\xfe": "no UTF-8\n", "ü": "UTF-8\n",
		strings.Repeat("d/", 40) + strings.Repeat("n", 150): "split into prefix and name\n",
		strings.Repeat("long/", 300) + "name":               "in a pax header\n",
		"link:short":                                        "small",
		"link:long":                                         strings.Repeat("y", 101),
		"link:NUL":                                          strings.Repeat("a", 200) + "\x00" + strings.Repeat("b", 100),
		"link:of 2 MiB":                                     strings.Repeat("z/", 1<<20),
	}
	var stream strings.Builder
	stream.WriteString("commit refs/heads/main\ncommitter T <t@example.org> 1000000000 +0000\ndata 1\nx\n")
	for name, content := range contents {
		mode := "100644"
		if strings.HasPrefix(name, "link:") {
			mode = "120000"
		}
		fmt.Fprintf(&stream, "M %s inline %s\ndata %d\n%s\n", mode, quoteName(name), len(content), content)
	}
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	r.Import(stream.String())
	tarred, err := origin.Command("--git-dir="+r.Dir, "archive", "--format=tar", "main").Output()
	if err != nil {
		t.Fatal(err)
	}
	return tarred, contents
}

// quoteName quotes a name for git fast-import.
func quoteName(name string) string {
	var b strings.Builder
	for i := range len(name) {
		fmt.Fprintf(&b, "\\%03o", name[i])
	}
	return `"` + b.String() + `"`
}

// TestZipHoldsEverything: all that git puts into a tar is in the zip as well.
func TestZipHoldsEverything(t *testing.T) {
	tarred, contents := oddTar(t)
	zipped := encoded(t, "zip", tarred)
	z, err := zip.NewReader(bytes.NewReader(zipped), int64(len(zipped)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		want, ok := contents[f.Name]
		if !ok {
			t.Errorf("%.40q is not in the commit", f.Name)
			continue
		}
		delete(contents, f.Name)
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); string(got) != want || err != nil {
			t.Errorf("%.40q has %d bytes of %d, or others, %v", f.Name, len(got), len(want), err)
		}
		if link := strings.HasPrefix(f.Name, "link:"); link != (f.Mode()&fs.ModeSymlink != 0) || f.Modified.Unix() != 1_000_000_000 {
			t.Errorf("%.40q is %s of %s", f.Name, f.Mode(), f.Modified)
		}
		if utf8 := f.Flags&zipUTF8 != 0; utf8 != (f.Name != "\xff\xfe") {
			t.Errorf("%.40q is told to be UTF-8: %v", f.Name, utf8)
		}
	}
	for name := range contents {
		t.Errorf("%.40q is not in the zip", name)
	}
}

// TestZipCanBeReadAsAStream: without the directory at its end. Only compressed content may have its
// sizes after it.
func TestZipCanBeReadAsAStream(t *testing.T) {
	tarred, contents := oddTar(t)
	rest := encoded(t, "zip", tarred)
	seen, streamed := 0, 0
	for binary.LittleEndian.Uint32(rest) == 0x04034b50 { // a local header (APPNOTE.TXT, 4.3.7)
		flags, method := binary.LittleEndian.Uint16(rest[6:]), binary.LittleEndian.Uint16(rest[8:])
		packed, size := binary.LittleEndian.Uint32(rest[18:]), binary.LittleEndian.Uint32(rest[22:])
		name := string(rest[30:][:binary.LittleEndian.Uint16(rest[26:])])
		rest = rest[30+len(name)+int(binary.LittleEndian.Uint16(rest[28:])):]
		content := bytes.NewReader(rest)
		got := make([]byte, len(contents[name]))
		switch {
		case flags&8 != 0:
			if streamed++; method != zip.Deflate || name != "large" {
				t.Fatalf("%.40q: the sizes follow it", name)
			}
			fallthrough
		case method == zip.Deflate:
			r := flate.NewReader(content)
			if _, err := io.ReadFull(r, got); err != nil {
				t.Fatalf("%.40q: %v", name, err)
			}
			if n, err := r.Read(make([]byte, 1)); n > 0 || err != io.EOF {
				t.Fatalf("%.40q has more than it should, %v", name, err)
			}
		default:
			_, _ = io.ReadFull(content, got)
		}
		read := len(rest) - content.Len()
		if flags&8 == 0 && (int(size) != len(got) || int(packed) != read) || string(got) != contents[name] {
			t.Errorf("%.40q: told to be %d bytes in %d, is %d in %d", name, size, packed, len(got), read)
		}
		if rest = rest[read:]; flags&8 != 0 {
			rest = rest[16:] // its sum and its sizes
		}
		if !strings.HasSuffix(name, "/") {
			seen++
		}
	}
	if seen != len(contents) || streamed != 1 {
		t.Errorf("%d entries of %d, %d of them without sizes in front", seen, len(contents), streamed)
	}
}

// TestTarReader compares the entries with those of archive/tar, for a tar that both can read.
func TestTarReader(t *testing.T) {
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	r.Commit("main", map[string]string{"a": "1", strings.Repeat("d/", 40) + strings.Repeat("n", 150): "2", strings.Repeat("long/", 300) + "name": "3", "block": strings.Repeat("x", tarBlock)})
	tarred, err := origin.Command("--git-dir="+r.Dir, "archive", "--format=tar", "--prefix=p/", "main").Output()
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := newTarReader(bytes.NewReader(tarred)), tar.NewReader(bytes.NewReader(tarred))
	for n := 0; ; n++ {
		e, err := ours.next()
		h, theirErr := theirs.Next()
		if err == io.EOF && theirErr == io.EOF && n > 4 {
			return
		}
		if err != nil || theirErr != nil {
			t.Fatalf("entry %d: %v, %v", n, err, theirErr)
		}
		content, err := io.ReadAll(ours)
		theirContent, _ := io.ReadAll(theirs)
		if e.kind == tarComment {
			if e.comment != r.Git("rev-parse", "main") {
				t.Errorf("the comment is %q", e.comment)
			}
			continue
		}
		if e.name != h.Name || e.mode != h.Mode || e.kind != h.Typeflag || !e.modified.Equal(h.ModTime) || !bytes.Equal(content, theirContent) || err != nil {
			t.Errorf("%.60q %o %c %s (%d bytes, %v), the library says %.60q %o %c %s (%d bytes)",
				e.name, e.mode, e.kind, e.modified, len(content), err, h.Name, h.Mode, h.Typeflag, h.ModTime, len(theirContent))
		}
	}
}

// TestTarReaderMissesTheEnd: a tar that is cut off anywhere is an error.
func TestTarReaderMissesTheEnd(t *testing.T) {
	tarred := someTar(t)
	end := len(bytes.TrimRight(tarred, "\x00"))
	for cut := 0; cut < end; cut += 97 {
		var err error
		for in := newTarReader(bytes.NewReader(tarred[:cut])); err == nil; {
			if _, err = in.next(); err == nil && cut%2 == 0 { // else it is skipped
				_, err = io.Copy(io.Discard, in)
			}
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut off after %d bytes: %v", cut, err)
		}
	}
}

func TestZipRefusesByName(t *testing.T) {
	header := func(kind byte, name string, size int64) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := w.WriteHeader(&tar.Header{Typeflag: kind, Name: name, Mode: 0o644, Size: size, Format: tar.FormatUSTAR}); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	pax := func(record string) []byte {
		content := header(tar.TypeReg, "pax", int64(len(record)))
		content[156] = tarPax
		content = append(content, record...)
		return append(content, make([]byte, (tarBlock-len(record)%tarBlock)%tarBlock)...)
	}
	record := func(key, value string) string {
		length := len(key) + len(value) + 3
		for length != len(fmt.Sprintf("%d %s=%s\n", length, key, value)) {
			length++
		}
		return fmt.Sprintf("%d %s=%s\n", length, key, value)
	}
	file := header(tar.TypeReg, "some file", 0)
	for want, tarred := range map[string][]byte{
		`"aaaaaaaaa`:            append(pax(record("path", strings.Repeat("a", maxZipName+1))), file...),
		`"some file": its name`: append(pax(record("linkpath", strings.Repeat("a", maxPax))), file...),
		`"some file": its size`: append(pax(record("size", "-1")), file...),
		"malformed pax header":  append(pax("999 path=x\n"), file...),
		`"fifo": its kind`:      header(tar.TypeFifo, "fifo", 0),
		"begins no entry":       bytes.Repeat([]byte{1}, tarBlock),
	} {
		err := zipOf(io.Discard, bytes.NewReader(tarred))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %.200v", want, err)
		}
	}
}

// TestZipOfManyFiles: small files share one compressor. A new one takes almost a megabyte, and a zip
// of 70,000 small files took 80 times as long as a tar.gz.
func TestZipOfManyFiles(t *testing.T) {
	const files = 2000
	var tarred bytes.Buffer
	w := tar.NewWriter(&tarred)
	for i := range files {
		text := fmt.Sprintf("name = host-%d\n", i)
		if err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("hosts/%05d.conf", i), Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	allocated := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.TotalAlloc
	}
	before := allocated()
	if err := zipOf(io.Discard, &tarred); err != nil {
		t.Fatal(err)
	}
	if each := (allocated() - before) / files; each > 16<<10 {
		t.Errorf("it allocates %d bytes for each file", each)
	}
}
