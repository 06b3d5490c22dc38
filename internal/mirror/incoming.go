package mirror

import (
	"context"
	"errors"
	"io"
	"strconv"
	"sync"

	"github.com/reconquest/sould/internal/spool"
	"github.com/reconquest/sould/internal/storage"
)

// ErrStands ends the pack of a mirror that is being made, instead of io.EOF: what has come is all
// that the mirror has, and it has passed all checks.
var ErrStands = errors.New("the mirror stands")

// errOtherPack is why nobody can be given the pack that has come: it is not, or not alone, what the
// mirror has.
var errOtherPack = errors.New("the objects had to be fetched in another way than at first")

// incoming is a pack in a file that many can follow while it comes. A nil one takes nothing. It is
// safe for concurrent use.
//
// The file is one of the cache's: it counts against the cache's limit, and it is gone after a
// crash, or when its last reader has it. It is never kept.
type incoming struct {
	cache *spool.Cache
	key   string
	in    *io.PipeWriter
	own   *spool.Reader // a file without a reader would be given up

	mu    sync.Mutex // guards all below
	begun bool       // something has come
	ended bool
}

// incomingBuffer is how much of a pack is written at once, in bytes.
const incomingBuffer = 256 << 10

// receive begins to take in a pack. It returns nil if there is no room.
func (s *Store) receive(name storage.Name) *incoming {
	if s.spool == nil {
		return nil
	}
	out, in := io.Pipe()
	i := &incoming{cache: s.spool, in: in, key: name.String() + "\x00incoming\x00" + strconv.FormatUint(s.received.Add(1), 10)}
	var err error
	i.own, err = s.spool.GetNew(i.key, func(ctx context.Context, w io.Writer) error {
		stop := context.AfterFunc(ctx, func() { out.CloseWithError(context.Cause(ctx)) })
		defer stop()
		_, err := io.CopyBuffer(w, struct{ io.Reader }{out}, make([]byte, incomingBuffer))
		if err == nil {
			err = io.ErrUnexpectedEOF // end always has a reason
		}
		out.CloseWithError(err)
		return err
	})
	if err != nil || i.own == nil {
		return nil
	}
	return i
}

// next returns the writer for the next transfer ([git.FetchMode.Packs]). The packs of two transfers
// cannot be followed as one.
func (i *incoming) next() io.Writer {
	i.mu.Lock()
	begun := i.begun
	i.mu.Unlock()
	if begun {
		i.end(errOtherPack)
	}
	return i
}

func (i *incoming) Write(p []byte) (int, error) {
	i.mu.Lock()
	i.begun = true
	i.mu.Unlock()
	return i.in.Write(p)
}

// follow returns a reader of the pack from its beginning, whose error at the end is that of end. It
// returns nil if there is nothing to follow.
func (i *incoming) follow() *spool.Reader {
	if i == nil {
		return nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended {
		return nil
	}
	r, err := i.cache.Get(i.key, func(context.Context, io.Writer) error { return errOtherPack }) // it was given up
	if err != nil {
		return nil
	}
	return r
}

// end ends the pack, for this reason, unless it has ended.
func (i *incoming) end(reason error) {
	if i == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended {
		return
	}
	i.ended = true
	i.in.CloseWithError(reason)
	i.own.Close()
}
