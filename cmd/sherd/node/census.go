package node

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/placement"
)

const (
	censusEvery = time.Second // how often it is looked whether something changed
	censusShare = 50          // counting takes at most one part in so many of the time
	censusStale = 30 * time.Second
	censusPage  = 4096
)

// tally is what was counted of a drive.
type tally struct {
	drive  ids.Drive
	chunks int64
	bytes  int64 // of their shards
	queued int64 // repairs that wait for it
}

// keepCount counts, in the background and only after changes, what status shows of each drive, and has the healer bring its
// ledger up to date. While changes go on it counts from time to time only.
func (n *Node) keepCount(ctx context.Context) {
	tick := time.NewTicker(censusEvery)
	defer tick.Stop()
	var seen, counted uint64
	last := time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		n.settleHealed()
		now := n.changes()
		quiet := now == seen
		seen = now
		if now == counted || !quiet && time.Since(last) < censusStale {
			continue
		}
		n.heal.Recount()
		begin := time.Now()
		n.count(ctx)
		counted, last = now, time.Now()
		pause(ctx, censusShare*last.Sub(begin))
	}
}

// changes is a number that is another when something was written to the ranges that have a replica here, drives came, went, or cannot be asked
// from here any more, or again, or the map changed; and always another while a range of this node's share has none that runs here: what is written to it cannot be seen.
func (n *Node) changes() uint64 {
	m := n.store.Map()
	sum := fact(mapFact, uint64(m.Revision)) + rangeChanges(n.records.Status(), share(m, n.cfg.Name), time.Now())
	for id := range m.Drives {
		if d := n.drive(id); d != nil {
			sum += fact(healthFact, binary.LittleEndian.Uint64(id[:]), uint64(d.Health().State))
		}
	}
	for _, b := range n.bays.list() {
		b.mu.Lock()
		if b.drive != nil {
			sum += fact(driveFact, uint64(b.served.UnixNano()))
		}
		b.mu.Unlock()
	}
	return sum
}

// rangeChanges is the part of changes that ranges have in it.
func rangeChanges(all []meta.RangeStatus, mine []*placement.Range, now time.Time) (sum uint64) {
	seen := map[ids.Range]bool{}
	for _, r := range all {
		seen[r.ID] = slices.ContainsFunc(r.Replicas, func(rep meta.ReplicaStatus) bool { return rep.Here })
		sum += fact(rangeFact, uint64(r.ID), r.Commit)
	}
	for _, r := range mine {
		if !seen[r.ID] {
			sum += fact(unseenFact, uint64(now.UnixNano()))
		}
	}
	return sum
}

// Kinds of facts that changes is made of.
const (
	mapFact = iota
	rangeFact
	driveFact
	healthFact
	unseenFact
)

// fact makes a number of what is so. The sum of several, in any order, is another if one of them is: unlike the sum of counters, one of which
// falls, where a replica leaves, as others rise.
func fact(kind uint64, values ...uint64) uint64 {
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, 24), kind)
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return xxh3.Hash(b)
}

func (n *Node) count(ctx context.Context) {
	queued := n.countRepairs(ctx)
	for _, b := range n.bays.list() {
		d, id, _ := b.current()
		if d == nil {
			b.setTally(tally{drive: id, queued: queued[id]})
			continue
		}
		t := tally{drive: id, queued: queued[id]}
		err := countChunks(ctx, d, &t)
		if err == nil {
			b.setTally(t)
		}
	}
}

func countChunks(ctx context.Context, d *disk.Drive, t *tally) error {
	for after := (*ids.Chunk)(nil); ; {
		page, err := d.AllChunks(ctx, after, censusPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			t.chunks++
			t.bytes += int64(page[i].ShardBytes)
		}
		after = &page[len(page)-1].Key
	}
}

// countRepairs counts the rows of shards to be made, by the drive they are for; what cannot be read is left out.
func (n *Node) countRepairs(ctx context.Context) map[ids.Drive]int64 {
	count := map[ids.Drive]int64{}
	m := n.store.Map()
	for _, r := range m.Ranges {
		for after := []byte(nil); ; {
			ctx, cancel := context.WithTimeout(ctx, usageWithin)
			rows, next, err := n.records.Repairs(ctx, r, after, censusPage)
			cancel()
			if err != nil {
				break
			}
			for _, row := range rows {
				p := m.Pools[ids.Pool(row.Pool)]
				if p != nil && int(row.Pg) < len(p.PGs) && int(row.Slot) < len(p.PGs[row.Pg].Slots) {
					count[p.PGs[row.Pg].Slots[row.Slot].Drive]++
				}
			}
			if next == nil {
				break
			}
			after = next
		}
	}
	return count
}

// settleHealed notes how much was healed when there was last nothing to heal: progress is counted from there.
func (n *Node) settleHealed() {
	s := n.heal.Status()
	if s.Groups > 0 || s.Reported > 0 || s.Ledger.Lacking() > 0 || s.Ledger.At.IsZero() {
		return
	}
	n.healedMu.Lock()
	defer n.healedMu.Unlock()
	n.healedBase, n.healedBaseBytes = s.Healed, s.HealedBytes
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
