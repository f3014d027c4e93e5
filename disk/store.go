package disk

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/disk/segment"
	"github.com/sherd-io/sherd/internal/ids"
)

// op is one change of the drive on its way through the chunk log.
type op struct {
	entry segment.Entry
	kind  chunk.Kind
	head  []byte // entry.Head's memory
	done  func(error)

	// KindChunk, KindFile
	header  chunk.Header
	footer  chunk.Footer
	file    uint64
	old     row  // what the index said when the op was admitted
	hadOld  bool //
	move    bool // the same chunk at another place: old must still be from
	replace bool // likewise, because what is at from was found bad
	restore bool // out of quarantine: no epoch is asked for
	from    segment.Pos

	// KindTombstone, KindDropped; of KindEpoch the keys whose rows are to be forgotten
	keys   []ids.Chunk
	found  []brief // what the index says of each key; nil: not asked yet
	asked  uint64  // the group in hand when found was asked for
	millis int64
	carry  bool   // the keys are there already, by a record in from.Segment
	moved  uint64 // if not 0: only if the drive knows no newer epoch of the keys' PG

	epochs []chunk.Epoch // KindEpoch
}

var (
	errFollow = errors.New("disk: key is being changed") // try again after this group
	errSame   = errors.New("disk: same chunk is here")
	errMoved  = errors.New("disk: chunk changed meanwhile")
)

func (d *Drive) newOp(kind chunk.Kind, done func(error)) *op {
	o, _ := d.ops.Get().(*op)
	if o == nil {
		o = &op{}
		o.entry.User, o.entry.Done = o, d.opDone
	}
	o.kind, o.done, o.head = kind, done, o.head[:0]
	return o
}

func (d *Drive) submit(o *op) {
	o.entry.Head = o.head
	d.log().Submit(&o.entry)
}

// opDone hears from the log's goroutine how an op ended.
func (d *Drive) opDone(e *segment.Entry, err error) {
	o := e.User.(*op)
	switch {
	case errors.Is(err, errFollow):
		d.submit(o)
		return
	case errors.Is(err, errSame):
		d.checkSame(o)
		return
	}
	d.finish(o, d.writeError(err))
}

func (d *Drive) finish(o *op, err error) {
	if errors.Is(err, segment.ErrAbandoned) { // the log's goroutine may still look at o
		o.done(err)
		return
	}
	done := o.done
	head := o.head
	if cap(head) > 64<<10 {
		head = nil
	}
	*o = op{head: head, entry: segment.Entry{User: o, Done: d.opDone}}
	d.ops.Put(o)
	done(err)
}

// begin starts a group. Like admit and synced it runs on the log's goroutine.
func (d *Drive) begin() { d.recent.begin() }

// admitted closes what admit opened.
func (d *Drive) admitted() {
	if d.probe != nil {
		d.probe.Close()
		d.probe = nil
	}
}

// admit decides whether an op may join the group.
func (d *Drive) admit(e *segment.Entry) error {
	o := e.User.(*op)
	switch o.kind {
	case chunk.KindChunk, chunk.KindFile:
		return d.admitChunk(o)
	case chunk.KindTombstone, chunk.KindDropped:
		return d.admitKeys(o)
	case chunk.KindEpoch:
		for _, e := range o.epochs {
			d.epochs.raise(e)
		}
		return d.admitKeys(o)
	}
	return nil
}

func (d *Drive) admitKeys(o *op) error {
	if slices.ContainsFunc(o.keys, d.recent.inHand) {
		return errFollow
	}
	if o.moved > 0 {
		if newest := d.epochs.get(pgKey{o.keys[0].Pool, o.keys[0].PG}); newest > o.moved {
			return fmt.Errorf("%w: %d, moved by %d", ErrEpoch, newest, o.moved)
		}
	}
	if o.found == nil {
		o.found = make([]brief, len(o.keys))
		o.asked = 0
	}
	for i, k := range o.keys {
		if !d.recent.unchanged(k, o.asked) {
			at, ok, err := d.lookup(k, false)
			if err != nil {
				return err
			}
			o.found[i] = at.brief(ok)
		}
		// What is put in quarantine must be what is dropped; a deletion that is told again must not cover what came after it.
		at := &o.found[i]
		if (o.move || o.carry) && (!at.had || o.move && at.pos != o.from || o.carry && (at.live() || at.pos.Segment != o.from.Segment)) {
			return errMoved
		}
	}
	for _, k := range o.keys {
		d.recent.add(k)
	}
	return nil
}

func (d *Drive) admitChunk(o *op) error {
	key := o.header.Key
	if d.recent.inHand(key) {
		return errFollow
	}
	if least := d.epochs.get(pgKey{key.Pool, key.PG}); o.header.Epoch < least && !o.move && !o.restore {
		return fmt.Errorf("%w: %d, chunk of %d", ErrEpoch, least, o.header.Epoch)
	}
	old, had, err := d.lookupNew(key)
	if err != nil {
		return err
	}
	switch {
	case o.move || o.replace:
		if !had || !old.live() || old.pos != o.from {
			return errMoved
		}
	case had && old.kind == rowDeleted:
		return ErrDeleted
	case had && old.live():
		if old.header == o.header && old.footer == o.footer {
			return errSame
		}
		return ErrExists
	}
	o.old, o.hadOld = old, had
	d.recent.add(key)
	if !o.move {
		d.lastPut.Store(time.Now().UnixNano())
	}
	return nil
}

// synced brings the index up to a group that is on stable storage.
func (d *Drive) synced(group []*segment.Entry) error {
	b := d.rows.NewBatch()
	for _, e := range group {
		o := e.User.(*op)
		d.apply(b, o, e.Pos, e.Seq, e.BodyAt)
	}
	return d.commitIndex(b, d.log().End(), len(group))
}

// commitIndex writes a batch of index rows together with the position up to which it makes the index complete.
func (d *Drive) commitIndex(b *pebble.Batch, end segment.Pos, records int) error {
	for _, s := range d.touched {
		if stat := d.segs.get(s); stat != (segStat{}) {
			b.Set(segmentKey(s), stat.encode(), nil)
		} else {
			b.Delete(segmentKey(s), nil)
		}
	}
	d.touched = d.touched[:0]
	b.Set([]byte{tablePosition}, indexMark{end, d.recent.newest}.encode(), nil)
	if err := errors.Join(b.Commit(pebble.NoSync), b.Close()); err != nil {
		return fmt.Errorf("%w: index: %w", ErrUnavailable, err)
	}
	if d.unflushed += records; d.unflushed >= d.opt.IndexTail {
		d.unflushed = 0
		if _, err := d.rows.AsyncFlush(); err != nil {
			return fmt.Errorf("%w: index: %w", ErrUnavailable, err)
		}
	}
	return nil
}

// apply adds one op to the index.
func (d *Drive) apply(b *pebble.Batch, o *op, pos segment.Pos, seq uint64, body uint32) {
	switch o.kind {
	case chunk.KindChunk, chunk.KindFile:
		d.applyChunk(b, o, pos, seq, body)
	case chunk.KindTombstone, chunk.KindDropped:
		d.applyKeys(b, o, pos, seq)
	case chunk.KindEpoch:
		for _, e := range o.epochs {
			d.applyEpoch(b, e)
		}
		d.applyForget(b, o)
	}
}

// applyForget drops the rows of deleted keys that only a segment on its way out tells of.
func (d *Drive) applyForget(b *pebble.Batch, o *op) {
	for i, k := range o.keys {
		if at := &o.found[i]; at.had && !at.live() && at.pos.Segment == o.from.Segment {
			b.Delete(chunkKey(nil, k), nil)
		}
	}
}

func (d *Drive) applyChunk(b *pebble.Batch, o *op, pos segment.Pos, seq uint64, body uint32) {
	r := row{kind: rowSegment, seq: seq, pos: pos, place: uint64(body), header: o.header, footer: o.footer}
	if o.kind == chunk.KindFile {
		r.kind, r.place = rowFile, o.file
		b.Set(fileKey(o.file), o.header.Key.Append(nil), nil)
	}
	if old := o.old.brief(o.hadOld); o.move && o.kind == chunk.KindFile {
		d.credit(old.pos.Segment, 0, -old.space) // the file stays
	} else {
		d.forget(b, &old)
	}
	d.credit(pos.Segment, r.recordSpace(), r.recordSpace())
	var k [1 + ids.ChunkBytes]byte
	d.value = r.append(d.value[:0])
	b.Set(chunkKey(k[:0], o.header.Key), d.value, nil)
	d.recent.indexed(o.header.Key)
	if o.header.Epoch > d.epochs.get(pgKey{o.header.Key.Pool, o.header.Key.PG}) {
		d.applyEpoch(b, chunk.Epoch{Pool: o.header.Key.Pool, PG: o.header.Key.PG, Epoch: o.header.Epoch})
	}
}

func (d *Drive) applyKeys(b *pebble.Batch, o *op, pos segment.Pos, seq uint64) {
	kind := rowDeleted
	if o.kind == chunk.KindDropped {
		kind = rowDropped
	}
	d.credit(pos.Segment, int64(pos.Bytes)+segment.HeadOffset, 0)
	for i, key := range o.keys {
		old := &o.found[i]
		if old.had && old.kind == rowDeleted && kind == rowDropped {
			continue // deleted stays deleted
		}
		r := row{kind: kind, seq: seq, pos: pos, millis: o.millis}
		switch {
		case old.live():
			r.place = old.pos.Segment
		case old.had:
			r.place = old.place
		}
		d.forget(b, old)
		var k [1 + ids.ChunkBytes]byte
		d.value = r.append(d.value[:0])
		b.Set(chunkKey(k[:0], key), d.value, nil)
		d.recent.indexed(key)
	}
}

// forget takes a chunk's old record, and file, out of the accounts.
func (d *Drive) forget(b *pebble.Batch, old *brief) {
	if !old.live() {
		return
	}
	d.credit(old.pos.Segment, 0, -old.space)
	if old.kind == rowFile {
		b.Delete(fileKey(old.place), nil)
		d.dead.add(old.place)
	}
}

func (d *Drive) credit(segment uint64, bytes, live int64) {
	d.segs.add(segment, bytes, live)
	for _, s := range d.touched {
		if s == segment {
			return
		}
	}
	d.touched = append(d.touched, segment)
}

func (d *Drive) applyEpoch(b *pebble.Batch, e chunk.Epoch) {
	d.epochs.raise(e)
	k := pgKey{e.Pool, e.PG}
	b.Set(epochKey(k), leUint64(d.epochs.get(k)), nil)
}

// Put stores a whole chunk of at most chunk.PutMax payload bytes. units are the shard's units in order; the drive reads them until
// it calls done, exactly once, after the chunk is on stable storage and can be opened (nil), or with an error. done runs on a
// goroutine of the drive that must not be blocked, or, if the chunk is refused at once, before Put returns.
// After ErrUnavailable of a drive that hangs the kernel may still read the units; what it then writes fails its checksums.
//
// Errors: ErrExists, ErrDeleted, ErrEpoch, ErrFull, ErrUnavailable, ErrInvalid. The same chunk again is no error.
func (d *Drive) Put(h chunk.Header, units [][]byte, f chunk.Footer, done func(error)) {
	if err := checkPut(&h, units, &f); err != nil {
		done(d.fault("put", err))
		return
	}
	if err := d.writable(int64(f.ShardBytes)); err != nil {
		done(d.fault("put", err))
		return
	}
	d.stats.puts.Add(1)
	d.stats.writtenBytes.Add(int64(f.ShardBytes))
	o := d.newOp(chunk.KindChunk, done)
	o.header, o.footer = h, f
	o.head = chunk.AppendChunk(o.head, &h, &f)
	sum := chunk.NewSummer(h.Key)
	block := uint64(0)
	for _, u := range units {
		o.head = sum.AppendSums(o.head, block, u)
		block += uint64(chunk.Blocks(uint64(len(u))))
	}
	o.entry.Body = units
	d.submit(o)
}

func checkPut(h *chunk.Header, units [][]byte, f *chunk.Footer) error {
	if err := h.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	var n uint64
	for i, u := range units {
		if i < len(units)-1 && len(u)%chunk.BlockBytes != 0 {
			return fmt.Errorf("%w: unit %d of %d bytes", ErrInvalid, i, len(u))
		}
		n += uint64(len(u))
	}
	if n != f.ShardBytes || n > chunk.PutMax {
		return fmt.Errorf("%w: %d bytes of payload, footer says %d", ErrInvalid, n, f.ShardBytes)
	}
	return nil
}

// writable says whether the drive takes that many bytes now, and counts on them.
func (d *Drive) writable(bytes int64) error {
	if h := d.Health(); h.State != OK {
		return fmt.Errorf("%w: %s: %s", ErrUnavailable, h.State, h.Reason)
	}
	if d.space.low(bytes) {
		return ErrFull
	}
	d.space.take(bytes)
	return nil
}

// checkSame answers a Put of a chunk that is here already: if what is here is whole, it is done, else it is replaced.
func (d *Drive) checkSame(o *op) {
	verify := func() {
		r, had, err := d.lookup(o.header.Key, false)
		if err == nil && had && r.live() {
			_, _, err = d.verifyRow(&r)
			err = d.readError(err)
		} else if err == nil {
			err = errFollow // changed again
		}
		switch {
		case err == nil:
			if o.kind == chunk.KindFile && (r.kind != rowFile || r.place != o.file) {
				d.dead.add(o.file) // the file that nothing names
			}
			d.finish(o, nil)
		case errors.Is(err, ErrCorrupt):
			o.replace, o.from = true, r.pos
			d.submit(o)
		case errors.Is(err, errFollow):
			d.submit(o)
		default:
			d.finish(o, err)
		}
	}
	giveUp := func() { d.finish(o, d.unavailable()) }
	if !d.async(verify, giveUp) {
		giveUp()
	}
}

// Delete deletes chunks; absent keys are fine. Deleted keys refuse later writes (I16). done is called once, as by Put,
// when that is durable.
func (d *Drive) Delete(keys []ids.Chunk, done func(error)) {
	d.stats.deletes.Add(int64(len(keys)))
	if len(keys) == 0 {
		done(nil)
		return
	}
	keys = slices.Clone(keys)
	slices.SortFunc(keys, compareChunks) // as the index has them
	keys = slices.Compact(keys)
	parts := (len(keys) + chunk.KeysMax - 1) / chunk.KeysMax
	done = gather(parts, done)
	for part := range slices.Chunk(keys, chunk.KeysMax) {
		d.deleteKeys(part, done)
	}
}

// gather answers with the first error, or nil, when n answers came.
func gather(n int, done func(error)) func(error) {
	if n == 1 {
		return done
	}
	var mu sync.Mutex
	var first error
	return func(err error) {
		mu.Lock()
		if first == nil {
			first = err
		}
		n--
		last := n == 0
		mu.Unlock()
		if last {
			done(first)
		}
	}
}

// deleteKeys writes one tombstone record. A worker reads the keys' rows first, so that the log's goroutine does not wait for the disk.
func (d *Drive) deleteKeys(keys []ids.Chunk, done func(error)) {
	o := d.newOp(chunk.KindTombstone, done)
	o.keys, o.millis = keys, time.Now().UnixMilli()
	o.head = chunk.AppendKeys(o.head, o.kind, o.millis, keys)
	o.entry.Essential = true
	ask := func() {
		d.ask(o, func() {})
		d.submit(o)
	}
	tell := func() { d.submit(o) }
	if !d.async(ask, tell) {
		tell()
	}
}

// ask reads the rows of o's keys, each after a step, for admitKeys.
func (d *Drive) ask(o *op, step func()) {
	o.asked, o.found = d.recent.now(), make([]brief, len(o.keys))
	for i, k := range o.keys {
		step()
		at, ok, err := d.lookup(k, false)
		if err != nil {
			o.asked = 0 // it will be met again
			return
		}
		o.found[i] = at.brief(ok)
	}
}

func compareChunks(a, b ids.Chunk) int {
	return cmp.Or(cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.PG, b.PG), bytes.Compare(a.Blob.Upload[:], b.Blob.Upload[:]),
		cmp.Compare(a.Blob.Index, b.Blob.Index), cmp.Compare(a.Slot, b.Slot))
}
