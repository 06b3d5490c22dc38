package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// load is what clients got in a time.
type load struct {
	requests int64
	bytes    int64
	took     time.Duration
}

func (l load) perSecond() float64    { return float64(l.requests) / l.took.Seconds() }
func (l load) megabytes() float64    { return float64(l.bytes) / 1e6 / l.took.Seconds() }
func (l load) perSecondText() string { return fmt.Sprintf("%.0f/s", l.perSecond()) }
func (l load) megabytesText() string { return fmt.Sprintf("%.0f MB/s", l.megabytes()) }

// hammer has clients ask for a path on connections that are kept, as fast as they
// can, and expects that status. The clients are as lean as they can be: they share
// the machine with the server.
func (b *bench) hammer(addr, path, headers string, status, conns int, takes time.Duration) load {
	request := []byte("GET " + path + " HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n")
	want := fmt.Sprintf("HTTP/1.1 %d", status)
	var total load
	var stop atomic.Bool
	var clients sync.WaitGroup
	began := time.Now()
	for range conns {
		clients.Go(func() {
			conn, err := net.Dial("tcp", addr)
			b.check(err)
			defer conn.Close()
			r := bufio.NewReaderSize(conn, 64<<10)
			lines := textproto.NewReader(r)
			for !stop.Load() {
				_, err := conn.Write(request)
				b.check(err)
				line, err := lines.ReadLine()
				b.check(err)
				if !strings.HasPrefix(line, want) {
					b.Fatalf("%s%s: %s", addr, path, line)
				}
				length, chunked := int64(0), false
				for {
					header, err := lines.ReadLineBytes()
					b.check(err)
					if len(header) == 0 {
						break
					}
					if key, value, _ := strings.Cut(string(header), ": "); strings.EqualFold(key, "Content-Length") {
						length, err = strconv.ParseInt(value, 10, 64)
						b.check(err)
					} else if strings.EqualFold(key, "Transfer-Encoding") {
						chunked = true
					}
				}
				if chunked {
					length = discardChunks(b, lines, r)
				} else {
					_, err = io.CopyN(io.Discard, r, length)
					b.check(err)
				}
				atomic.AddInt64(&total.requests, 1)
				atomic.AddInt64(&total.bytes, length)
			}
		})
	}
	time.Sleep(takes)
	stop.Store(true)
	clients.Wait()
	total.took = time.Since(began)
	return total
}

func discardChunks(b *bench, lines *textproto.Reader, r io.Reader) (total int64) {
	for {
		line, err := lines.ReadLine()
		b.check(err)
		n, err := strconv.ParseInt(line, 16, 64)
		b.check(err)
		_, err = io.CopyN(io.Discard, r, n+2)
		b.check(err)
		if n == 0 {
			return total
		}
		total += n
	}
}

// compare hammers two servers in turn and returns the median of the ratios of what
// is measured, and one measurement of each.
func (b *bench) compare(measure func(load) float64, ours, theirs func() load) (ratio float64, a, other load) {
	ours()
	theirs()
	var ratios []float64
	for range max(5, b.n/4) {
		a, other = ours(), theirs()
		ratios = append(ratios, measure(a)/measure(other))
	}
	return median(ratios), a, other
}
