package heal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// ErrTooManyOrphans reports that more chunks are unexplained than can be by accident: nothing was touched (I15).
var ErrTooManyOrphans = errors.New("heal: too many chunks that nothing refers to")

const orphanAlarm = "orphans "

// scrubDrives looks for the rows of every chunk of those drives of this process that can be reached.
func (h *Healer) scrubDrives(ctx context.Context) error {
	h.scrub.update(func(s *ScrubStatus) { s.Phase, s.Total = "chunks", 0 })
	closed, err := h.Collect(ctx)
	if err != nil {
		return err
	}
	alarmed, drives := false, h.opt.Map().Drives
	for id, d := range drives {
		drive := h.usable(id)
		if drive == nil || !h.opt.Mine(id) {
			continue
		}
		o := &orphanage{h: h, id: id, drive: drive, closed: closed, homes: map[homeKey]Reference{}}
		err := o.pass(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrTooManyOrphans):
			alarmed = true
			h.alarm(orphanAlarm+id.String(), fmt.Sprintf("%s: %v", d.Path, err))
		case err != nil:
			return fmt.Errorf("chunks of %s: %w", d.Path, err)
		default:
			h.alarm(orphanAlarm+id.String(), "")
		}
	}
	h.endAlarms(time.Now(), func(source string) bool { // of drives that others look after now, or that are gone for good
		id, of := strings.CutPrefix(source, orphanAlarm)
		return of && !slices.ContainsFunc(slices.Collect(maps.Values(drives)), func(d *placement.Drive) bool {
			return d.ID.String() == id && d.State != placement.DriveOut && h.opt.Mine(d.ID)
		})
	})
	h.rememberOrphans(ctx)
	if alarmed {
		return ErrTooManyOrphans
	}
	return nil
}

// orphanage is one drive's pass.
type orphanage struct {
	h      *Healer
	id     ids.Drive
	drive  Drive
	closed hlc.Stamp
	homes  map[homeKey]Reference // of the uploads of the present page

	total   int64
	orphans []ids.Chunk
	// Of slots that have moved away for good: what their owners have too, and what nothing refers to. A move explains them, so that they
	// are not counted as orphans (I15).
	strays, forgotten []ids.Chunk
}

// actMost bounds how many chunks of a kind a pass acts on; the next finds the others.
const actMost = 1 << 20

type homeKey struct {
	home   Home
	upload ids.Upload
}

// pass collects first and acts only when all of the drive was seen, so that too many stop it before the first.
func (o *orphanage) pass(ctx context.Context) error {
	var after *ids.Chunk
	for {
		if err := o.h.scrub.gate.pass(ctx); err != nil {
			return err
		}
		page, err := o.drive.AllChunks(ctx, after, o.h.opt.Page)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		clear(o.homes)
		for i := range page {
			if err := o.chunk(ctx, &page[i]); err != nil {
				return err
			}
		}
		last := page[len(page)-1].Key
		after = &last
	}
	if over := o.limit(); len(o.orphans) > over {
		return fmt.Errorf("%w: more than %d of %d", ErrTooManyOrphans, over, o.total)
	}
	return o.act(ctx)
}

func (o *orphanage) limit() int {
	return max(o.h.opt.OrphanMax, int(float64(o.total)*o.h.opt.OrphanShare))
}

// chunk judges one chunk.
func (o *orphanage) chunk(ctx context.Context, c *disk.ChunkInfo) error {
	o.total++
	o.h.scrub.update(func(s *ScrubStatus) { s.Chunks++ })
	upload := c.Key.Blob.Upload
	if upload.Stamp() >= o.closed {
		return nil // may yet be committed
	}
	ref := o.ask(ctx, homeKey{Home{c.Bucket, c.Object}, upload})
	if err := ctx.Err(); err != nil {
		return err
	}
	moved := o.moved(c.Key)
	switch {
	case ref == Unknown:
		o.h.scrub.update(func(s *ScrubStatus) { s.Unknown++ })
	case ref == Absent && moved && len(o.forgotten) < actMost:
		o.forgotten = append(o.forgotten, c.Key)
	case ref == Absent && !moved:
		o.orphans = append(o.orphans, c.Key)
		if len(o.orphans) > o.h.opt.OrphanMax && len(o.orphans) > actMost {
			return fmt.Errorf("%w: more than %d", ErrTooManyOrphans, len(o.orphans)-1)
		}
	case ref != Absent && moved && len(o.strays) < actMost && o.confirmed(ctx, c.Key):
		o.strays = append(o.strays, c.Key)
	}
	return nil
}

// ask asks an upload's home once a page: chunks of one body stand side by side.
func (o *orphanage) ask(ctx context.Context, key homeKey) Reference {
	if ref, ok := o.homes[key]; ok {
		return ref
	}
	ref, err := o.h.opt.Records.Referenced(ctx, key.home, key.upload)
	if err != nil {
		ref = Unknown
	}
	o.homes[key] = ref
	return ref
}

// moved reports a chunk whose slot has another owner for good. A drive that knows a newer epoch may be the owner (I5).
func (o *orphanage) moved(key ids.Chunk) bool {
	pg := group(o.h.opt.Map(), key.Pool, key.PG)
	if pg == nil || int(key.Slot) >= len(pg.Slots) || o.drive.Epoch(key.Pool, key.PG) > pg.Epoch {
		return false
	}
	sl := pg.Slots[key.Slot]
	return sl.Drive != o.id && sl.From != o.id && sl.Complete
}

// confirmed reports that the owner has the chunk.
func (o *orphanage) confirmed(ctx context.Context, key ids.Chunk) bool {
	has, err := o.h.has(ctx, key)
	return err == nil && has
}

// act drops strays, as Sweep does, and puts all else that was found into quarantine.
func (o *orphanage) act(ctx context.Context) error {
	const why = "nothing refers to it"
	if err := o.quarantine(ctx, o.orphans, why, func(s *ScrubStatus) { s.Quarantined++ }); err != nil {
		return err
	}
	if err := o.quarantine(ctx, o.forgotten, why+", and its slot is another drive's", func(s *ScrubStatus) { s.Strays++ }); err != nil {
		return err
	}
	for len(o.strays) > 0 {
		n := 1
		for n < len(o.strays) && o.strays[n].Pool == o.strays[0].Pool && o.strays[n].PG == o.strays[0].PG {
			n++
		}
		if err := o.drop(ctx, o.strays[:n]); err != nil {
			return err
		}
		o.strays = o.strays[n:]
	}
	return nil
}

// drop drops strays of one group, if they are that still.
func (o *orphanage) drop(ctx context.Context, keys []ids.Chunk) error {
	pg := group(o.h.opt.Map(), keys[0].Pool, keys[0].PG)
	if pg == nil || slices.ContainsFunc(keys, func(k ids.Chunk) bool { return !o.moved(k) }) {
		return nil
	}
	err := o.drive.Drop(ctx, keys, pg.Epoch)
	if errors.Is(err, disk.ErrEpoch) {
		return nil // the slot is on its way back
	}
	if err == nil {
		o.h.counts.moved.Add(int64(len(keys)))
		o.h.scrub.update(func(s *ScrubStatus) { s.Strays += int64(len(keys)) })
	}
	return err
}

func (o *orphanage) quarantine(ctx context.Context, keys []ids.Chunk, why string, count func(*ScrubStatus)) error {
	for _, key := range keys {
		if err := o.drive.Quarantine(ctx, key, why); err != nil {
			if errors.Is(err, disk.ErrNotFound) {
				continue // deleted meanwhile
			}
			return err
		}
		o.h.counts.quarantined.Add(1)
		o.h.scrub.update(count)
	}
	return nil
}

// expire deletes what has been in quarantine for its term; not while there are alarms about too many orphans (I15), nor soon
// after a restore (I9).
func (h *Healer) expire(ctx context.Context) {
	if h.opt.Held() || h.orphansAnywhere() {
		return
	}
	for id := range h.opt.Map().Drives {
		drive := h.usable(id)
		if drive == nil || !h.opt.Mine(id) {
			continue
		}
		n, err := drive.ExpireQuarantine(ctx, time.Now().Add(-h.opt.QuarantineTerm))
		if err != nil && ctx.Err() == nil {
			h.log.Warn("cannot empty quarantine", "drive", id, "err", err)
		} else if n > 0 {
			h.log.Info("quarantine expired", "drive", id, "chunks", n)
		}
	}
}
