package heal

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/placement"
)

// muteDrive is in service, and lists no chunks while silent.
type muteDrive struct {
	Drive
	silent *atomic.Bool
}

func (d muteDrive) Chunks(ctx context.Context, pool ids.Pool, pg ids.PG, after ids.Chunk, max int) ([]disk.ChunkInfo, error) {
	if d.silent.Load() {
		return nil, disk.ErrUnavailable
	}
	return d.Drive.Chunks(ctx, pool, pg, after, max)
}

// TestLedgerAsksAgain: shards count as lacking because an up drive cannot be asked. It can be asked again, of which neither map nor
// rows have anything; and they are counted.
func TestLedgerAsksAgain(t *testing.T) {
	for _, mute := range []bool{false, true} {
		t.Run(fmt.Sprintf("mute %v", mute), func(t *testing.T) {
			var silent atomic.Bool
			c := newCluster(t, 2, 1, 0, 2, func(o *Options) {
				o.LedgerEvery, o.Version = 10*time.Millisecond, func() uint64 { return 1 }
				drive := o.Drive
				o.Drive = func(id ids.Drive) Drive {
					switch d := drive(id); {
					case d == nil || !mute && silent.Load():
						return nil
					default:
						return muteDrive{d, &silent}
					}
				}
			})
			c.put("a", 5000)
			c.change(func(m *placement.Map) { // of slots that are being filled the owner is asked
				for _, pg := range m.Pools[testPool].PGs {
					pg.Slots[0].Complete = false
				}
			})
			silent.Store(true)
			ctx, cancel := context.WithCancel(c.ctx)
			ended := make(chan error, 1)
			go func() { ended <- c.healer.ledgerLoop(ctx) }()
			defer func() { cancel(); <-ended }()
			poll.True(t, poll.Within, "a shard that lacks", func() bool { return c.healer.Status().Ledger.Lacking() > 0 })
			silent.Store(false)
			poll.True(t, poll.Within, "full strength", func() bool { return c.healer.Status().Ledger.Lacking() == 0 })
		})
	}
}
