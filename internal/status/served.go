package status

import (
	"sync"
	"time"

	"github.com/reconquest/sould/internal/archive"
	"github.com/reconquest/sould/internal/pack"
	"github.com/reconquest/sould/internal/protocol"
)

// servedPause is how long the status tells the same of archives: they may be asked for a thousand
// times a second, and whoever watches the status shall be told what else is new.
const servedPause = 10 * time.Second

// servedCounts is what the status tells a client of archives and packs. The zero value is ready for use.
type servedCounts struct {
	mu       sync.Mutex         // guards all below
	archives *protocol.Archives // nil as long as nobody has asked for one
	at       time.Time          // when archives was counted
}

func (c *servedCounts) get(packs pack.Stats, archives archive.Stats, now time.Time) (counts protocol.Served) {
	if packs.Made+packs.Shared+packs.Kept > 0 {
		counts.Packs = &protocol.Packs{Made: packs.Made, Shared: packs.Shared, Kept: packs.Kept}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.archives == nil || now.Sub(c.at) >= servedPause {
		if archives.Hits+archives.Misses > 0 {
			c.archives, c.at = &protocol.Archives{Hits: archives.Hits, Misses: archives.Misses}, now
		}
	}
	counts.Archives = c.archives
	return counts
}
