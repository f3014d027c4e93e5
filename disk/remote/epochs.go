package remote

import (
	"sync"

	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/internal/ids"
)

// group names a PG.
type group struct {
	pool ids.Pool
	pg   ids.PG
}

func groupOf(key ids.Chunk) *group { return &group{key.Pool, key.PG} }

// epochs are what the drives of a node have said of theirs (I5). There are as many as PGs that calls were about.
type epochs struct {
	mu   sync.RWMutex
	seen map[driveGroup]uint64
}

type driveGroup struct {
	drive ids.Drive
	group
}

func (e *epochs) of(d ids.Drive, g group) uint64 {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.seen[driveGroup{d, g}]
}

// note takes what an answer said. An epoch never falls.
func (e *epochs) note(d ids.Drive, g group, epoch uint64) {
	if epoch <= e.of(d, g) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.seen == nil {
		e.seen = map[driveGroup]uint64{}
	}
	key := driveGroup{d, g}
	e.seen[key] = max(e.seen[key], epoch)
}

// noteAll takes the epochs that came with the answer to a request about the asked PGs; those of others are dropped.
func (e *epochs) noteAll(d ids.Drive, asked map[group]bool, args []byte) {
	rec, err := chunk.ParseRecord(args)
	if err != nil || rec.Kind != chunk.KindEpoch {
		return
	}
	for _, ep := range rec.Epochs {
		if g := (group{ep.Pool, ep.PG}); asked[g] {
			e.note(d, g, ep.Epoch)
		}
	}
}

// groupsOf are the PGs that keys are of.
func groupsOf(keys []ids.Chunk) map[group]bool {
	all := map[group]bool{}
	for _, k := range keys {
		all[*groupOf(k)] = true
	}
	return all
}

// Epoch is the least epoch under which the drive seals chunks of a PG, as far as its answers have said: whatever it has answered so far,
// it did under this or an older one (I5). It never blocks.
func (d *Drive) Epoch(pool ids.Pool, pg ids.PG) uint64 { return d.c.epochs.of(d.id, group{pool, pg}) }
