// Package pack makes the answers to git clients that clone or fetch. git writes each answer into a
// spool at the machine's speed, and the client reads it from there at its own speed. So a request
// holds a place for as long as git works, and not for as long as the client reads.
//
// A hundred jobs that start at once clone the same commit. Equal requests have equal keys, so that
// their answer is made once: those who ask while it is made follow it, and if there was more than
// one, it stays in the cache for those who come later. Most answers to a fetch are asked for once
// and not kept. Clones that clients ask for are made ahead when a pull has moved their branches.
//
// A bundle is a file of refs and their history, with which a clone can begin. One of each large
// mirror is made ahead, and offered to clients ([Offers]).
package pack

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/reconquest/sould/internal/archive"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/smarthttp"
	"github.com/reconquest/sould/internal/spool"
)

// Maker makes packs. Its methods are safe for concurrent use.
type Maker struct {
	Prefetcher *Prefetcher
	Offers     *Offers

	cache          *spool.Cache
	files          *archive.Cache // of the same spool; it has the digests of bundles
	clients, peers queue
	lastID         atomic.Uint64 // of an answer that nobody shares
	counts         counts
}

// queue is where requests wait for a place, and where their answers are spooled.
type queue struct {
	places limiter.Limiter
	lane   *spool.Lane
}

// NewMaker returns a maker that spools packs in a cache, and bundles through the archives of the same
// cache. It has no places before Resize.
func NewMaker(cache *spool.Cache, files *archive.Cache, log *slog.Logger) *Maker {
	k := &Maker{cache: cache, files: files}
	k.Prefetcher = newPrefetcher(k, log)
	k.Offers = newOffers(k, log)
	k.clients.lane = cache.NewLane(k.clients.places.Waited)
	k.peers.lane = cache.NewLane(k.peers.places.Waited)
	return k
}

// Resize sets how many packs for clients are made at the same time. Other servers of the cluster have
// places of their own, half as many: so a server that has lost its origin can fetch from its peers,
// however many clients they have.
func (k *Maker) Resize(places int) {
	k.clients.places.Resize(places)
	k.peers.places.Resize(max(places/2, 1))
}

// queue returns the queue of the other servers if peer is set, else that of the clients.
func (k *Maker) queue(peer bool) *queue {
	if peer {
		return &k.peers
	}
	return &k.clients
}

// Acquire waits for a place for other work of git for a client or, if peer is set, for another
// server. The caller must call release. The error is limiter.ErrBusy, or the cause of ctx's end.
func (k *Maker) Acquire(ctx context.Context, m *mirror.Mirror, peer bool) (release func(), err error) {
	places := &k.queue(peer).places
	if err := places.Acquire(ctx, m.Name.String()); err != nil {
		return nil, err
	}
	return places.Release, nil
}

// Get returns git's answer to a request of a client or, if peer is set, of another server, in a
// version of the protocol. Equal requests share one answer: it is made for the first one, and kept
// if there is a second one. The reader follows the answer while git writes it; the caller must
// close the reader. The reader's error is limiter.ErrBusy if there was no place, spool.ErrTooSlow
// if the clients were too slow while others waited, or that of git. Get takes over the request,
// and closes it.
func (k *Maker) Get(m *mirror.Mirror, version int, request *smarthttp.Request, peer bool) (*spool.Reader, error) {
	q, snap := k.queue(peer), m.Snapshot()
	key := join(m, strconv.FormatUint(k.lastID.Add(1), 10)) // of an answer that nobody shares
	fetch, ok := request.Fetch(version)
	if ok && !snap.Shallow { // a shallow mirror may get more history while its refs stay
		key = sharedKey(m, snap, fetch)
		if _, early := fetch.TakesProgress(); !peer && !early { // else nobody will ask so again
			k.Prefetcher.asked(m.Name, snap, fetch)
			if fetch.IsWhole() {
				k.Offers.wanted(m)
			}
		}
	}
	r, err := getReadable(q.lane, key, func(ctx context.Context, w io.Writer) error {
		defer request.Close()
		upload := func(w io.Writer) error {
			if err := q.places.Acquire(ctx, m.Name.String()); err != nil {
				return err
			}
			defer q.places.Release()
			return k.counts.measure(ctx, w, func(w io.Writer) error { return m.UploadPack(ctx, version, request.Reader(), w) })
		}
		if peer {
			return upload(w)
		}
		return ensured(w, upload, func(id string) bool { return m.EnsureObject(ctx, id) })
	})
	if err != nil || !r.IsFirst() {
		request.Close()
	}
	if err == nil {
		k.counts.asked(r.IsFirst())
	}
	return r, err
}

// ensured has an answer made again if git lacks an object that the client wants, and ensure has
// pulled for it: it may just have been pushed. Each of them is pulled for once.
func ensured(w io.Writer, upload func(io.Writer) error, ensure func(id string) bool) error {
	tried := make(map[string]bool)
	for {
		answer := &patientWriter{w: w}
		err := upload(answer)
		id := git.UnknownObject(err)
		if id == "" || answer.begun || tried[id] || !ensure(id) {
			return errors.Join(err, answer.flush())
		}
		tried[id] = true
	}
}

// patientWriter holds back an answer as long as it is nothing but a refusal, which may be taken
// back.
type patientWriter struct {
	w     io.Writer
	held  []byte
	begun bool
}

func (p *patientWriter) Write(b []byte) (int, error) {
	if p.begun {
		return p.w.Write(b)
	}
	p.held = append(p.held, b...)
	if len(p.held) < 8 || git.BeginsWithError(p.held) {
		return len(b), nil
	}
	return len(b), p.flush()
}

// flush writes what is held back.
func (p *patientWriter) flush() error {
	p.begun = true
	if len(p.held) == 0 {
		return nil
	}
	_, err := p.w.Write(p.held)
	p.held = nil
	return err
}

// getReadable is Get of a lane. If somebody has removed a finished file, it is made again.
func getReadable(lane *spool.Lane, key string, produce func(context.Context, io.Writer) error) (*spool.Reader, error) {
	r, err := lane.Get(key, produce)
	if err != nil || !r.IsFile() {
		return r, err
	}
	if _, err = r.Open(); err == nil {
		return r, nil
	}
	r.Close()
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return lane.Get(key, produce)
}

// getNew makes an answer that no client waits for, if it is not there yet.
func (k *Maker) getNew(ctx context.Context, m *mirror.Mirror, fetch smarthttp.Fetch) error {
	if err := k.clients.places.AcquireIdle(ctx); err != nil {
		return err
	}
	defer k.clients.places.Release()
	request := fetch.Request()
	r, err := k.clients.lane.GetNew(sharedKey(m, m.Snapshot(), fetch), func(ctx context.Context, w io.Writer) error {
		return k.counts.measure(ctx, w, func(w io.Writer) error { return m.UploadPack(ctx, fetch.Version(), request.Reader(), w) })
	})
	if r == nil || err != nil {
		return err
	}
	defer r.Close()
	for err == nil { // without a reader that reads, a producer that has no room waits
		_, err = r.CopyNext(ctx, io.Discard, 1<<20)
	}
	if err == io.EOF {
		k.counts.ahead.Add(1)
		return nil
	}
	return err
}

// sharedKey is the key of the answers to all requests that are equal to one. An answer that
// depends on the refs is for one state of the refs.
func sharedKey(m *mirror.Mirror, snap *mirror.Snapshot, fetch smarthttp.Fetch) string {
	state := ""
	if fetch.NeedsRefs() {
		state = string(snap.Fingerprint)
	}
	return join(m, fetch.Digest(), state)
}

// join makes a key of words. The mirror is the owner of its packs; another mirror of the same name
// has other keys.
func join(m *mirror.Mirror, words ...string) string {
	return strings.Join(append([]string{m.Name.String(), "pack", m.Identity()}, words...), "\x00")
}
