package disk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/disk/segment"
	"github.com/sherd-io/sherd/internal/ids"
)

// reclaimInFlight bounds what a rewrite has on its way, in payload bytes.
const reclaimInFlight = 8 << 20

// Reclaim rewrites segments of the chunk log whose live share is under half, and removes them; on a drive at rest also those
// that lone small chunks, each padded to a block, left with much padding. It returns how many it removed.
// It runs by itself too, unless Options.NoReclaim.
func (d *Drive) Reclaim(ctx context.Context) (removed int, err error) {
	d.reclaiming.Lock()
	defer d.reclaiming.Unlock()
	tried := make(map[uint64]bool)
	var unreadable error
	for ctx.Err() == nil {
		s, ok := d.emptiest(tried)
		if !ok {
			return removed, d.fault("reclaim", unreadable)
		}
		tried[s] = true
		gone, err := d.rewrite(ctx, s)
		if err != nil {
			err = fmt.Errorf("segment %d: %w", s, err)
			if ctx.Err() != nil || errors.Is(err, ErrUnavailable) || isFull(err) || isScarce(err) {
				return removed, d.fault("reclaim", errors.Join(unreadable, err))
			}
			d.unreadable[s] = time.Now() // one bad sector must not keep the others' space
			unreadable = errors.Join(unreadable, err)
		}
		if gone {
			removed++
			d.stats.reclaimed.Add(1)
		}
	}
	return removed, d.fault("reclaim", errors.Join(unreadable, ctx.Err()))
}

const (
	liveShare  = 0.5  // a segment with less of it live is rewritten
	tightShare = 0.85 // one with less of it in records, the rest padding, when the drive is at rest; what a rewrite writes is tighter
)

// unreadableRest is how long a segment that cannot be read, or chunks of which cannot, is left alone: another rewrite would read it all
// to tell the same.
const unreadableRest = 10 * time.Minute

// emptiest is the segment with the smallest live share of those that are to be rewritten. The newest one is still written.
func (d *Drive) emptiest(tried map[uint64]bool) (number uint64, ok bool) {
	atRest := time.Since(time.Unix(0, d.lastPut.Load())) > d.opt.Rest
	segments := d.log().Segments()
	least := 1.0
	for _, s := range segments[:len(segments)-1] {
		st := d.segs.get(s.Number)
		// Shares are of the file, so that padding and torn tails count as dead.
		file := float64(max(s.Bytes-segment.HeaderBytes, 1))
		live, records := float64(st.live)/file, float64(st.bytes)/file
		due := live < liveShare || atRest && records < tightShare
		if due && live < least && !tried[s.Number] && time.Since(d.unreadable[s.Number]) > unreadableRest {
			number, least, ok = s.Number, live, true
		}
	}
	return number, ok
}

// reclaimOps bounds how many ops a rewrite has on its way.
const reclaimOps = 256

// rewriting is one segment's rewrite.
type rewriting struct {
	d       *Drive
	ctx     context.Context
	segment uint64
	answers chan answer // never blocks: as deep as there may be ops
	pending int
	bytes   int64 // of payload, pending
	keep    map[chunk.Kind][]ids.Chunk
	millis  map[chunk.Kind]int64
	forget  []ids.Chunk
	epochs  map[pgKey]bool
}

type answer struct {
	err   error
	bytes int64
}

// rewrite appends again what is still needed of a segment, and removes the segment once an index without it is flushed.
func (d *Drive) rewrite(ctx context.Context, number uint64) (gone bool, err error) {
	defer d.reclaimStep.Store(0)
	w := &rewriting{
		d: d, ctx: ctx, segment: number, answers: make(chan answer, reclaimOps),
		keep: make(map[chunk.Kind][]ids.Chunk), millis: make(map[chunk.Kind]int64), epochs: make(map[pgKey]bool),
	}
	d.segs.setMoving(number)
	err = w.timed(func() error { return d.log().SegmentRecords(number, w.record) })
	if err == nil {
		err = w.carry()
	}
	for w.pending > 0 {
		err = errors.Join(err, w.wait())
	}
	if errors.Is(err, errMoved) {
		return false, nil // it changed meanwhile: next time
	}
	if err != nil {
		return false, err
	}
	if live := d.segs.get(number).live; live != 0 {
		d.opt.Logger.Warn("segment has chunks that cannot be read, and stays", "segment", number, "bytes", live)
		d.unreadable[number] = time.Now()
		return false, nil // reading them gives ErrCorrupt: the healer replaces them, then it goes
	}
	if err := d.Flush(ctx); err != nil {
		return false, err
	}
	if err := w.timed(func() error { return d.log().Remove(number) }); err != nil {
		return false, err
	}
	d.segs.drop(number)
	delete(d.unreadable, number)
	err = d.rows.Delete(segmentKey(number), pebble.NoSync)
	return err == nil, err
}

// step begins something that the drive does at once, or hangs (I12).
func (w *rewriting) step() { w.d.reclaimStep.Store(time.Now().UnixNano()) }

// timed is f with its steps timed.
func (w *rewriting) timed(f func() error) error {
	w.step()
	defer w.d.reclaimStep.Store(0)
	return f()
}

// record looks at one record of the segment.
func (w *rewriting) record(r segment.Record) error {
	w.step()
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if w.d.Health().State != OK {
		return w.d.unavailable()
	}
	rec, err := chunk.ParseRecord(r.Head)
	if err != nil {
		return nil // reported when it was replayed; nothing points to it
	}
	switch rec.Kind {
	case chunk.KindChunk, chunk.KindFile:
		return w.chunk(&r, &rec)
	case chunk.KindTombstone, chunk.KindDropped:
		return w.keys(&r, &rec)
	case chunk.KindEpoch:
		for _, e := range rec.Epochs {
			w.epochs[pgKey{e.Pool, e.PG}] = true
		}
	}
	return nil
}

// chunk moves a chunk that is still where the record is. Damaged or not, it moves as it is.
func (w *rewriting) chunk(r *segment.Record, rec *chunk.Record) error {
	d := w.d
	key := rec.Header.Key
	w.epochs[pgKey{key.Pool, key.PG}] = true
	at, ok, err := d.lookup(key, false)
	if err != nil {
		return err
	}
	if !ok || !at.live() || at.pos != r.Pos {
		return nil
	}
	o := d.newOp(rec.Kind, nil)
	o.header, o.footer, o.file, o.move, o.from = rec.Header, rec.Footer, rec.File, true, r.Pos
	o.head = append(o.head, r.Head...)
	buf := d.opt.Buffers.Get(int(r.BodyBytes))
	if r.BodyBytes > 0 {
		if err := d.readSegment(w.segment, buf.B, int64(r.Body), false); err != nil {
			buf.Release()
			return err
		}
		o.entry.Body = [][]byte{buf.B}
	}
	return w.start(o, int64(r.BodyBytes), buf.Release)
}

// keys sorts the keys whose row is this record's: those that must still be told of, because they are young or cover a
// record that may still be there (I16), and those to forget.
func (w *rewriting) keys(r *segment.Record, rec *chunk.Record) error {
	young := rec.Kind == chunk.KindTombstone && time.Since(time.UnixMilli(rec.Millis)) < w.d.opt.TombstoneKeep
	for _, k := range rec.Keys {
		w.step() // each may read the disk
		at, ok, err := w.d.lookup(k, false)
		if err != nil {
			return err
		}
		if !ok || at.live() || at.pos != r.Pos {
			continue
		}
		covers := at.place != 0 && at.place != w.segment && w.d.log().Has(at.place)
		if !covers && !young && !w.d.segs.othersMoving(w.segment) {
			w.forget = append(w.forget, k)
			continue
		}
		w.keep[rec.Kind] = append(w.keep[rec.Kind], k)
		w.millis[rec.Kind] = max(w.millis[rec.Kind], rec.Millis)
		if len(w.keep[rec.Kind]) == chunk.KeysMax {
			if err := w.carryKeys(rec.Kind); err != nil {
				return err
			}
		}
	}
	return nil
}

// carry appends the keys and epochs that were collected, and forgets the keys that are to be.
func (w *rewriting) carry() error {
	for _, kind := range []chunk.Kind{chunk.KindTombstone, chunk.KindDropped} {
		if err := w.carryKeys(kind); err != nil {
			return err
		}
	}
	if err := w.carryEpochs(); err != nil {
		return err
	}
	for part := range slices.Chunk(w.forget, chunk.KeysMax) {
		if err := w.forgetKeys(part); err != nil {
			return err
		}
	}
	return nil
}

func (w *rewriting) carryEpochs() error {
	if len(w.epochs) == 0 {
		return nil
	}
	o := w.d.newOp(chunk.KindEpoch, nil)
	for k := range w.epochs {
		if e := w.d.epochs.get(k); e > 0 {
			o.epochs = append(o.epochs, chunk.Epoch{Pool: k.pool, PG: k.pg, Epoch: e})
		}
	}
	o.head = chunk.AppendEpochs(o.head, o.epochs...)
	return w.start(o, 0, nil)
}

// forgetKeys drops the rows of keys, along with a record of no epochs.
func (w *rewriting) forgetKeys(keys []ids.Chunk) error {
	o := w.d.newOp(chunk.KindEpoch, nil)
	o.keys, o.from.Segment = keys, w.segment
	o.head = chunk.AppendEpochs(o.head)
	return w.changeKeys(o)
}

func (w *rewriting) carryKeys(kind chunk.Kind) error {
	if len(w.keep[kind]) == 0 {
		return nil
	}
	o := w.d.newOp(kind, nil)
	o.keys, o.millis, o.carry, o.from.Segment = w.keep[kind], w.millis[kind], true, w.segment
	o.head = chunk.AppendKeys(o.head, kind, o.millis, o.keys)
	w.keep[kind], w.millis[kind] = nil, 0
	return w.changeKeys(o)
}

// changeKeys submits o, which is about many keys, and waits for it: a group of the log's, and so whoever else writes meanwhile, has the
// rows of one such op to look at.
func (w *rewriting) changeKeys(o *op) error {
	w.d.ask(o, w.step)
	if err := w.start(o, 0, nil); err != nil {
		return err
	}
	for w.pending > 0 {
		if err := w.wait(); err != nil {
			return err
		}
	}
	return nil
}

// start submits o, once there is room for it.
func (w *rewriting) start(o *op, bytes int64, free func()) error {
	for w.pending > 0 && (w.bytes+bytes > reclaimInFlight || w.pending == reclaimOps) {
		if err := w.wait(); err != nil {
			if free != nil {
				free()
			}
			return err
		}
	}
	w.pending++
	w.bytes += bytes
	o.entry.Essential = true
	o.done = func(err error) {
		if free != nil {
			free()
		}
		w.answers <- answer{err, bytes}
	}
	w.d.submit(o)
	return nil
}

// wait takes one answer. A chunk that changed meanwhile needs no move.
func (w *rewriting) wait() error {
	w.d.reclaimStep.Store(0)
	a := <-w.answers // it comes: a log that fails answers everybody
	w.pending--
	w.bytes -= a.bytes
	if a.bytes > 0 && errors.Is(a.err, errMoved) {
		return nil
	}
	return a.err
}

// keepReclaiming reclaims what can be, until the drive is closed.
func (d *Drive) keepReclaiming() {
	defer d.background.Done()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-d.closing:
		case <-d.down:
		}
		cancel()
	}()
	tick := time.NewTicker(10 * houseEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if d.Health().State != OK {
			continue
		}
		if _, err := d.Reclaim(ctx); err != nil && ctx.Err() == nil {
			d.opt.Logger.Warn("reclaim", "err", err)
		}
	}
}
