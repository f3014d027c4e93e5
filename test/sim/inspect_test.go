package sim

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/segment"
	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/erasure/codec"
	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/meta/replica"
	"github.com/sherd-io/sherd/meta/state"
	"github.com/sherd-io/sherd/placement"
)

// truth is what the drives of a whole cluster hold, read from copies of their files while nobody looks: no node has a say in it.
type truth struct {
	m      *placement.Map
	chunks map[ids.Drive]map[ids.Chunk]bool
	copies map[ids.Range][]copyOf
	blobs  map[ids.Blob]blob // that a row refers to
	dying  map[ids.Upload]bool
	repair int // rows
	names  map[ids.Upload]string
}

// copyOf is one replica of a range.
type copyOf struct {
	drive       ids.Drive
	index, term uint64
	hash        [16]byte
}

// blob is one that is referred to.
type blob struct {
	ref erasure.BlobRef
	key string
}

// inspect reads all drives.
func (c *cluster) inspect(m *placement.Map) (*truth, error) {
	tr := &truth{
		m: m, chunks: map[ids.Drive]map[ids.Chunk]bool{}, copies: map[ids.Range][]copyOf{}, blobs: map[ids.Blob]blob{}, dying: map[ids.Upload]bool{}, names: map[ids.Upload]string{},
	}
	for _, s := range c.nodes {
		image := s.machine.image()
		for _, path := range s.machine.paths {
			if err := tr.readDrive(image, path, c); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
		}
	}
	return tr, nil
}

func (tr *truth) readDrive(image *vfs.MemFS, path string, c *cluster) (err error) {
	log, err := readLog(image, path)
	if err != nil {
		return err
	}
	d, err := disk.Open(disk.Options{FS: image, Path: path, Comparer: keys.Comparer, NoReclaim: true, Logger: c.log.logger("inspection")})
	if err != nil {
		return err
	}
	defer d.Close()
	rec := tr.m.Drives[d.ID()]
	if rec == nil || rec.State == placement.DriveOut {
		return nil // of no account
	}
	held := map[ids.Chunk]bool{}
	all, err := d.AllChunks(context.Background(), nil, 1<<30)
	if err != nil {
		return err
	}
	for _, info := range all {
		held[info.Key] = true
		tr.names[info.Key.Blob.Upload] = info.Object
	}
	tr.chunks[d.ID()] = held
	ranges, err := replica.Salvage(d.Rows(), log)
	if err != nil {
		return err
	}
	for _, r := range ranges {
		if !tr.member(r, d.ID()) {
			continue
		}
		if err := tr.readRange(d, r); err != nil {
			return fmt.Errorf("range %d: %w", r.Span.ID, err)
		}
	}
	return nil
}

// readLog reads a drive's Raft log.
func readLog(image *vfs.MemFS, path string) (*replica.SalvagedLog, error) {
	out := &replica.SalvagedLog{}
	dir := image.PathJoin(path, "log")
	names, err := image.List(dir)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, name := range names {
		if !segment.IsSegment(name) {
			continue
		}
		_, err := segment.ScanFile(image, dir, name, func(_ io.ReaderAt, r segment.Record) error { return out.Add(r.Head) })
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// member reports whether the map knows the replica.
func (tr *truth) member(r replica.SalvagedRange, id ids.Drive) bool {
	for _, row := range tr.m.Ranges {
		if row.ID == r.Span.ID {
			return slices.ContainsFunc(row.Replicas, func(rep placement.Replica) bool { return rep.ID == r.Replica && rep.Drive == id })
		}
	}
	return false
}

const every = 1 << 30 // rows of a page: all

func (tr *truth) readRange(d *disk.Drive, r replica.SalvagedRange) error {
	rows := d.Rows()
	sum, err := state.Hash(rows, r.Span)
	if err != nil {
		return err
	}
	tr.copies[r.Span.ID] = append(tr.copies[r.Span.ID], copyOf{d.ID(), r.Index, r.Term, sum})
	for _, table := range state.Walked() {
		items, _, err := state.Walk(rows, r.Span, []byte{byte(table)}, every)
		if err != nil {
			return err
		}
		if err := tr.noteLive(items); err != nil {
			return err
		}
	}
	repairs, _, err := state.RepairRows(rows, r.Span, nil, every)
	if err != nil {
		return err
	}
	tr.repair = max(tr.repair, len(repairs))
	dying, _, err := state.ReclaimRows(rows, r.Span, hlc.Stamp(math.MaxUint64), nil, every)
	if err != nil {
		return err
	}
	return tr.noteDying(dying)
}

func (tr *truth) noteLive(items []state.WalkItem) error {
	for _, item := range items {
		e, err := object.ExtentOf(item.Extent)
		if err != nil {
			return err
		}
		for i := range e.PGs {
			ref := e.Blob(i)
			tr.blobs[ref.Blob] = blob{ref, item.Key}
		}
	}
	return nil
}

func (tr *truth) noteDying(dying []*metapb.Reclaim) error {
	for _, row := range dying {
		e, err := object.ExtentOf(row.Extent)
		if err != nil {
			return err
		}
		tr.dying[e.Upload] = true
	}
	return nil
}

// evenReplicas finds replicas of one range that differ (I17).
func (tr *truth) evenReplicas() error {
	for _, row := range tr.m.Ranges {
		copies := tr.copies[row.ID]
		if len(copies) != len(row.Replicas) {
			return fmt.Errorf("range %d has %d replicas, and %d drives hold one", row.ID, len(row.Replicas), len(copies))
		}
		for _, other := range copies[1:] {
			if one := copies[0]; other.index != one.index || other.term != one.term || other.hash != one.hash {
				return fmt.Errorf("I17: range %d on drive %s is at %d.%d with rows %x, on %s at %d.%d with %x",
					row.ID, one.drive, one.term, one.index, one.hash[:4], other.drive, other.term, other.index, other.hash[:4])
			}
		}
	}
	return nil
}

// whole finds blobs that lack shards, and repair rows.
func (tr *truth) whole() error {
	if short, lacking := tr.short(); len(short) > 1 || tr.repair > 0 {
		return fmt.Errorf("blobs lack shards: %v, such as %s; %d repair rows", short, lacking, tr.repair)
	}
	return nil
}

// short counts, as a ledger does, how many blobs lack how many shards: on the drives themselves.
func (tr *truth) short() (count []int64, lacking string) {
	count = []int64{0}
	for _, b := range tr.blobs {
		pool := tr.m.Pools[b.ref.Pool]
		layout := codec.NewLayout(b.ref.Size, pool.K, pool.M, pool.UnitBytes)
		lacks := 0
		for slot, owner := range pool.PGs[b.ref.PG].Slots {
			if layout.Stored(slot) && !tr.chunks[owner.Drive][b.ref.Chunk(slot)] {
				lacks++
				lacking = fmt.Sprintf("%s of %s, slot %d, on drive %s", b.ref.Blob, b.key, slot, owner.Drive)
			}
		}
		for len(count) <= lacks {
			count = append(count, 0)
		}
		count[lacks]++
	}
	return count, lacking
}

// leftOver finds chunks that nothing refers to and nobody is about to delete.
func (tr *truth) leftOver() error {
	for id, held := range tr.chunks {
		for _, key := range slices.SortedFunc(maps.Keys(held), func(a, b ids.Chunk) int { return int(a.Slot) - int(b.Slot) }) {
			if tr.dying[key.Blob.Upload] {
				return fmt.Errorf("drive %s has %v, which is dead and waits to be deleted", id, key)
			}
			b, live := tr.blobs[key.Blob]
			if !live {
				return fmt.Errorf("drive %s has %v of %s, which nothing refers to", id, key, tr.names[key.Blob.Upload])
			}
			if owner := tr.m.Pools[b.ref.Pool].PGs[b.ref.PG].Slots[key.Slot]; owner.Drive != id {
				return fmt.Errorf("drive %s has %v of %s, whose owner is %s", id, key, b.key, owner.Drive)
			}
		}
	}
	return nil
}
