package disk

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/disk/segment"
	"github.com/sherd-io/sherd/internal/pebbleguard"
)

// verifyName is where VerifyState links the files of rows/ while it reads them.
const verifyName = "rows.verify"

// VerifyState reads all of rows/ and the segments of the Raft log that are complete, and checks their sums, past every
// cache: what flipped on the disk while nobody read it. Chunks are the scrubber's (Verify). What is only in memory, or in
// the segment that is being written, is not looked at. It takes as long as the disk takes; one call at a time.
//
// Errors: ErrCorrupt, after which the replicas here are discarded (DiscardReplicas): the drive is failed until it is opened
// again without them. ctx's; the file system's.
func (d *Drive) VerifyState(ctx context.Context) error {
	err := d.verifyRows(ctx)
	if err == nil {
		err = d.verifyLog(ctx)
	}
	if err == nil || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	if isCorruption(err) || errors.Is(err, segment.ErrDamaged) {
		d.DiscardReplicas(err.Error())
		return d.fault("verify", fmt.Errorf("%w: %w", ErrCorrupt, err))
	}
	return d.fault("verify", err)
}

// verifyRows opens links to the present files as a database of its own, with a cache of its own, and reads every key and value.
func (d *Drive) verifyRows(ctx context.Context) (err error) {
	dir := d.opt.FS.PathJoin(d.opt.Path, verifyName)
	if err := d.opt.FS.RemoveAll(dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.opt.FS.RemoveAll(dir)) }()
	if err := d.rows.Checkpoint(dir); err != nil {
		return err
	}
	cache := pebble.NewCache(4 << 20)
	defer cache.Unref()
	_, err = d.opt.guarded(nil, func(po *pebble.Options) (*pebble.DB, error) {
		po.ReadOnly, po.Cache = true, cache
		po.EventListener = &pebble.EventListener{DataCorruption: func(pebble.DataCorruptionInfo) {}} // the error says it too
		db, err := pebbleguard.Open(dir, po)
		if err != nil {
			return nil, err
		}
		return nil, errors.Join(readRows(ctx, db), db.Close())
	})
	return err
}

func readRows(ctx context.Context, db *pebble.DB) error {
	it, err := db.NewIterWithContext(ctx, nil)
	if err != nil {
		return err
	}
	defer it.Close()
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if _, err := it.ValueAndErr(); err != nil {
			return err
		}
		if n++; n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return it.Error()
}

// verifyLog walks the Raft log's segments but the newest.
func (d *Drive) verifyLog(ctx context.Context) error {
	log := d.Log()
	segments := log.Segments()
	before := len(log.Damages())
	for _, s := range segments[:max(len(segments)-1, 0)] {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		err := log.SegmentRecords(s.Number, func(segment.Record) error { return nil })
		if err != nil && log.Has(s.Number) { // released meanwhile is no damage
			return err
		}
	}
	if all := log.Damages(); len(all) > before {
		return fmt.Errorf("%w: %v", segment.ErrDamaged, all[len(all)-1])
	}
	return nil
}
