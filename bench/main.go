// Bench measures sould against what people would use instead, in one run on one
// machine, and prints ratios: these do not depend on the machine, absolute times
// do. The repository is generated, always the same: about 2,000 refs and 5,000
// files of 50 MB in all. With -origin any other can be measured.
//
//	go run ./bench
//	go run ./bench -run POST -n 40
//	go run ./bench -origin https://git.example.org/some/repository.git
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// row is a line of the table.
type row struct {
	what  string
	value float64
	must  string // such as "≤ 0.6"; empty if there is no bar
	note  string // the figures behind it
}

func (r row) ok() string {
	var sign string
	var bar float64
	if _, err := fmt.Sscanf(r.must, "%s %f", &sign, &bar); err != nil {
		return ""
	}
	if sign == "≤" && r.value <= bar || sign == "≥" && r.value >= bar {
		return "yes"
	}
	return "NO"
}

// measurement is what one function measures.
type measurement struct {
	name string
	run  func(b *bench) []row
}

var measurements = []measurement{
	{"POST nothing new", postNothingNew},
	{"POST nothing new over http", postNothingNewOverHTTP},
	{"POST one commit over http", postOneCommitOverHTTP},
	{"looks over http", looksOverHTTP},
	{"poll", pollOfMany},
	{"POST one commit", postOneCommit},
	{"POST at once", postAtOnce},
	{"slaves", fanOut},
	{"GET finished big", finishedBig},
	{"GET finished small", finishedSmall},
	{"GET 304", notModified},
	{"GET first", firstGet},
	{"GET first at once", firstAtOnce},
	{"GET made ahead", madeAhead},
	{"GET first zst", firstZstd},
	{"GET first zip", firstZip},
	{"first mirror", firstMirror},
	{"clones within max_age", clonesWithinMaxAge},
	{"first clone", firstClone},
	{"shallow clones", shallowClones},
	{"quota", quota},
	{"clone", clones},
	{"herd", herd},
	{"slow herd", slowHerd},
	{"crowded cache", crowdedCache},
	{"readers", readers},
	{"memory", memory},
	{"status", statusOfMany},
	{"metrics", metricsOfMany},
	{"repair", repairRound},
	{"long polls", longPolls},
	{"slaves in great number", fanOutToMany},
}

func main() {
	if len(os.Args) == 3 && servers[os.Args[1]] != nil {
		os.Exit(serve(servers[os.Args[1]](os.Args[2])))
	}
	only := flag.String("run", "", "measure only what matches this regular expression")
	n := flag.Int("n", 30, "how often to measure each")
	url := flag.String("origin", "", "measure this origin instead of a generated one")
	flag.Parse()
	os.Exit(run(*only, *n, *url))
}

func run(only string, n int, url string) int {
	pattern, err := regexp.Compile(only)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	b, err := newBench(n, url)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer b.close()

	version, _ := exec.Command("git", "--version").Output()
	fmt.Printf("%s, %d CPUs, %s, %s, medians of %d\n\n", time.Now().Format(time.DateOnly), runtime.NumCPU(), runtime.Version(), strings.TrimSpace(string(version)), n)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', tabwriter.Debug)
	fmt.Fprintln(w, "| measured\t must be\t is\t met\t figures\t")
	fmt.Fprintln(w, "|---\t---\t---\t---\t---\t")
	for _, m := range measurements {
		if !pattern.MatchString(m.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s …\n", m.name)
		for _, r := range m.run(b) {
			fmt.Fprintf(w, "| %s\t %s\t %.3g\t %s\t %s\t\n", r.what, r.must, r.value, r.ok(), r.note)
		}
	}
	w.Flush()
	return 0
}

// bench is what all measurements share. It is a origin.T: what it starts ends with
// it, and an error ends the program.
type bench struct {
	n       int
	dir     string
	binary  string
	origin  string // URL or path
	given   bool   // by -origin, and not generated
	cleanup []func()
}

func newBench(n int, url string) (*bench, error) {
	dir, err := os.MkdirTemp("", "sould-bench")
	if err != nil {
		return nil, err
	}
	b := &bench{n: n, dir: dir, binary: filepath.Join(dir, "sould"), origin: url, given: url != ""}
	build := exec.Command("go", "build", "-o", b.binary, "github.com/reconquest/sould")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		b.close()
		return nil, fmt.Errorf("build sould: %w", err)
	}
	if url == "" {
		b.origin = filepath.Join(dir, "origin.git")
		generate(b, b.origin)
	}
	return b, nil
}

func (b *bench) close() {
	for _, f := range slices.Backward(b.cleanup) {
		f()
	}
	os.RemoveAll(b.dir)
}

// Helper, Fatalf, Cleanup and TempDir make a bench an origin.T.
func (b *bench) Helper()          {}
func (b *bench) Cleanup(f func()) { b.cleanup = append(b.cleanup, f) }

func (b *bench) Fatalf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	b.close()
	os.Exit(1)
}

func (b *bench) TempDir() string {
	dir, err := os.MkdirTemp(b.dir, "")
	b.check(err)
	return dir
}

func (b *bench) check(err error) {
	if err != nil {
		b.Fatalf("%v", err)
	}
}

// timed measures how long something takes.
func timed(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

// pairs measures two things in turn, and which of them is first in turn as well,
// and returns the median of the ratios and the medians of the times.
func (b *bench) pairs(prepare func(), a, other func()) (ratio float64, ours, theirs time.Duration) {
	var ratios []float64
	var as, others []time.Duration
	for i := range b.n + 2 {
		prepare()
		var ta, to time.Duration
		if i%2 == 0 {
			ta, to = timed(a), timed(other)
		} else {
			to, ta = timed(other), timed(a)
		}
		if i < 2 {
			continue // warm up
		}
		ratios = append(ratios, float64(ta)/float64(to))
		as, others = append(as, ta), append(others, to)
	}
	return median(ratios), median(as), median(others)
}

func median[T float64 | time.Duration](values []T) T {
	slices.Sort(values)
	return values[len(values)/2]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
