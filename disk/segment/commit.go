package segment

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/internal/bufpool"
)

const (
	bodyInPlace  = 64 << 10  // bodies from here on are written from where they are
	prefillBelow = 128 << 10 // groups smaller than this are written over zeros
	zeroBytes    = 256 << 10
)

// writer is the state of the log's goroutine.
type writer struct {
	f       vfs.File // nil: the next group opens a segment
	cur     header
	off     int64 // where the next group starts
	size    int64 // of the file: bytes up to here were written once
	safe    int64 // bytes up to here are proven to be synced
	seq     uint64
	vectors bool     // pwritev may go past vfs
	taken   []*Entry // spare memory for the group in flight
	group   []*Entry
	pieces  [][]byte
	zero    *bufpool.Buf
}

type stats struct {
	groups, records, bytes, syncNanos atomic.Int64
}

// Stats counts what a log did since Open.
type Stats struct {
	Groups, Records, Bytes int64
	Syncing                time.Duration // time in writes and syncs
	Waiting                int           // records in the queue now
}

// Stats returns the log's counters.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Stats{
		Groups: l.stats.groups.Load(), Records: l.stats.records.Load(), Bytes: l.stats.bytes.Load(),
		Syncing: time.Duration(l.stats.syncNanos.Load()), Waiting: len(l.queue),
	}
}

// run writes group after group until the log is closed or fails.
func (l *Log) run() {
	defer close(l.stopped)
	for {
		taken := l.take()
		if taken == nil {
			break
		}
		l.busySince.Store(time.Now().UnixNano())
		err := l.commit(taken)
		l.busySince.Store(0)
		if !l.finish(err) {
			break
		}
	}
	l.w.zero.Release()
	if l.w.f != nil {
		l.w.f.Close()
	}
}

// take waits for entries and moves the next group's worth to inflight; nil ends the log.
//
// Before it looks it lets others run. On busy cores that doubles a group: those who are about to submit do so first, where
// else the log, woken by the first of them, would sync that one alone. On idle cores it costs nothing. (Measured on two cores with
// 16 writers of 4 KiB objects: 3.6 instead of 2.0 records a group, 27 % less CPU an object, 25 % less time.)
func (l *Log) take() []*Entry {
	l.await()
	runtime.Gosched()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 || l.err != nil {
		return nil
	}
	bytes, n := 0, 0
	for n < len(l.queue) {
		bytes += l.queue[n].spaceBytes()
		if n > 0 && bytes > l.opt.GroupBytes {
			break
		}
		n++
	}
	l.inflight = append(l.w.taken[:0], l.queue[:n]...)
	rest := copy(l.queue, l.queue[n:])
	clear(l.queue[rest:])
	l.queue = l.queue[:rest]
	return l.inflight
}

// await waits until there is something to do.
func (l *Log) await() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) == 0 && !l.closing && l.err == nil {
		l.wake.Wait()
	}
}

// finish tells a group's submitters; false ends the log.
func (l *Log) finish(err error) bool {
	fatal := err != nil && !errors.Is(err, ErrFull)
	l.mu.Lock()
	group := l.inflight
	l.inflight = nil
	var late []*Entry
	if fatal && l.err == nil {
		l.err = err
		late, l.queue = l.queue, nil
	}
	more := l.err == nil
	l.mu.Unlock()
	if group == nil {
		return false // Abandon took it, and told them
	}
	for i, e := range group {
		group[i] = nil
		if e.refused != nil {
			e.Done(e, e.refused)
		} else {
			e.Done(e, err)
		}
	}
	l.w.taken = group
	for _, e := range late {
		e.Done(e, err)
	}
	if fatal && l.opt.Failed != nil {
		l.opt.Failed(err)
	}
	return more
}

// commit writes those of taken that are admitted, in one group, and syncs it.
func (l *Log) commit(taken []*Entry) error {
	l.admit(taken)
	group := l.w.group
	if len(group) == 0 {
		return nil
	}
	began := time.Now()
	total, err := l.place(group)
	if errors.Is(err, ErrFull) && l.opt.NoSpace != nil && slices.ContainsFunc(group, isEssential) && l.opt.NoSpace() {
		total, err = l.place(group)
	}
	if err != nil {
		return err
	}
	l.stats.syncNanos.Add(int64(time.Since(began)))
	l.stats.groups.Add(1)
	l.stats.records.Add(int64(len(group)))
	l.stats.bytes.Add(total)
	if l.opt.Synced != nil {
		return l.opt.Synced(group)
	}
	return nil
}

func isEssential(e *Entry) bool { return e.Essential }

// place writes and syncs a group where the log ends, in a new segment if need be.
func (l *Log) place(group []*Entry) (total int64, err error) {
	packed, total := l.layout(group)
	if l.w.f == nil || l.w.off+total > l.opt.SegmentBytes {
		if err := l.roll(); err != nil {
			return 0, l.noSpace(err)
		}
	}
	if err := l.write(group, packed, total); err != nil {
		return 0, l.noSpace(err)
	}
	return total, nil
}

// admit fills w.group with those of taken that may be written; the others learn why when the group is done.
func (l *Log) admit(taken []*Entry) {
	l.w.group = l.w.group[:0]
	if l.opt.Begin != nil {
		l.opt.Begin()
	}
	for _, e := range taken {
		e.refused = nil
		if l.opt.Admit != nil {
			e.refused = l.opt.Admit(e)
		}
		if e.refused == nil {
			l.w.group = append(l.w.group, e)
		}
	}
	if l.opt.Admitted != nil {
		l.opt.Admitted()
	}
}

// layout says how long the group's records are together, and the group.
func (l *Log) layout(group []*Entry) (packed, total int64) {
	var bodies int64
	for _, e := range group {
		packed = roundUp(packed, recordAlign) + recordBytes + int64(len(e.Head))
		if e.aligned {
			bodies += roundUp(int64(e.bodyBytes), blockBytes)
		} else {
			packed += int64(e.bodyBytes)
		}
	}
	packed = roundUp(packed, blockBytes)
	return packed, packed + bodies
}

// write encodes the group, writes it at w.off and syncs it.
func (l *Log) write(group []*Entry, packed, total int64) error {
	w := &l.w
	tails := 0
	for _, e := range group {
		if e.aligned && e.bodyBytes%blockBytes != 0 {
			tails++
		}
	}
	buf := l.opt.Buffers.Get(int(packed) + tails*blockBytes)
	defer buf.Release()
	clear(buf.B)
	if err := l.encode(group, buf.B[:packed], buf.B[packed:]); err != nil {
		return err
	}
	if total < prefillBelow {
		l.prefill(total)
	}
	if err := l.Err(); err != nil { // abandoned while it hung in what came before
		return err
	}
	if err := writev(w.f, w.vectors, w.pieces, w.off); err != nil {
		return err
	}
	w.size = max(w.size, w.off+total)
	if err := w.f.SyncData(); err != nil {
		return err
	}
	clear(w.pieces)
	w.off += total
	w.safe = w.off
	l.mu.Lock()
	if n := len(l.segments); n > 0 && l.segments[n-1].segment == w.cur.segment {
		l.segments[n-1].bytes, l.segments[n-1].end, l.segments[n-1].safe = w.size, w.off, w.off
	}
	l.mu.Unlock()
	return nil
}

// encode puts the group's records into b, which is written at w.off, and lists in w.pieces what follows it.
// tails holds a zeroed block for each body that does not end on a border. Its error is that the log was abandoned: then
// the group's memory is its submitters' again.
func (l *Log) encode(group []*Entry, b, tails []byte) error {
	l.encoding.Lock()
	defer l.encoding.Unlock()
	if err := l.Err(); err != nil {
		return err
	}
	w := &l.w
	w.pieces = append(w.pieces[:0], b)
	s := seal{segment: w.cur.segment, salt: w.cur.salt}
	at, body := int64(0), w.off+int64(len(b))
	for _, e := range group {
		at = roundUp(at, recordAlign)
		offset := uint32(w.off + at)
		w.seq++
		e.Seq = w.seq
		e.Pos = Pos{Segment: w.cur.segment, Offset: offset, Bytes: uint32(len(e.Head))}
		e.BodyAt = 0
		end := at + recordBytes + int64(len(e.Head))
		place := uint32(0)
		switch {
		case e.aligned:
			place = uint32(body)
			e.BodyAt = place
			tails = w.addBody(e, tails)
			body += roundUp(int64(e.bodyBytes), blockBytes)
		case e.bodyBytes > 0:
			e.BodyAt = uint32(w.off + end)
		}
		s.put(b[at:], offset, e.Seq, e.Head, place, uint32(e.bodyBytes), uint32(w.off))
		if !e.aligned {
			for _, piece := range e.Body {
				end += int64(copy(b[end:], piece))
			}
		}
		at = end
	}
	return nil
}

// addBody lists e's body in w.pieces; what does not fill a block is copied to the first of tails.
func (w *writer) addBody(e *Entry, tails []byte) []byte {
	for _, piece := range e.Body {
		whole := len(piece) &^ (blockBytes - 1)
		if whole > 0 {
			w.pieces = append(w.pieces, piece[:whole])
		}
		if whole < len(piece) {
			copy(tails, piece[whole:])
			w.pieces = append(w.pieces, tails[:blockBytes])
			tails = tails[blockBytes:]
		}
	}
	return tails
}

// prefill writes zeros ahead, so that this sync and the next ones change neither the file's length nor its extents: that
// halves the cost of a small synced append (measured: 58 instead of 132 µs of CPU on ext4). Large groups go
// straight to new space, where zeros would double what is written.
func (l *Log) prefill(total int64) {
	w := &l.w
	if l.opt.PrefillBytes <= 0 || w.off+total <= w.size {
		return
	}
	n := min(roundUp(int64(l.opt.PrefillBytes), blockBytes), l.opt.SegmentBytes-w.size)
	if n < total {
		return
	}
	if w.zero == nil {
		w.zero = l.opt.Buffers.Get(zeroBytes)
		clear(w.zero.B)
	}
	var pieces [16][]byte
	zeros := pieces[:0]
	for left := n; left > 0 && len(zeros) < cap(zeros); left -= zeroBytes {
		zeros = append(zeros, w.zero.B[:min(left, zeroBytes)])
	}
	var wrote int64
	for _, z := range zeros {
		wrote += int64(len(z))
	}
	// A failure here is not the group's: the write that follows meets the same file and says so.
	if writev(w.f, w.vectors, zeros, w.size) == nil {
		w.size += wrote
	}
}

// roll ends the current segment and starts the next.
func (l *Log) roll() error {
	w := &l.w
	next := header{segment: w.cur.segment + 1, salt: newSalt(), id: l.opt.ID, prev: w.cur.segment, prevEnd: uint32(w.off), prevSafe: uint32(w.safe), firstSeq: w.seq + 1}
	f, err := createFile(&l.opt, &next)
	if abandoned := l.Err(); abandoned != nil { // meanwhile: another log may be writing here by now, and have this segment in its order
		if err == nil {
			f.Close()
		}
		return abandoned
	}
	if err != nil {
		l.opt.FS.Remove(l.opt.FS.PathJoin(l.opt.Dir, next.name())) // best effort: an empty segment harms nothing
		return err
	}
	if l.opt.Rolled != nil {
		if err := l.opt.Rolled(next.segment); err != nil {
			f.Close() // the file stays: somebody may count on it by now
			return err
		}
	}
	if w.f != nil {
		w.f.Close()
	}
	w.f, w.cur, w.off, w.size, w.safe = f, next, HeaderBytes, HeaderBytes, HeaderBytes
	l.files.add(next.segment, next.name())
	w.vectors = l.opt.FS.Unwrap() == nil && f.Fd() != vfs.InvalidFd
	l.mu.Lock()
	l.segments = append(l.segments, info{header: next, end: w.off, bytes: w.size})
	l.mu.Unlock()
	return nil
}

// noSpace turns want of space into ErrFull, and ends the segment: what was half written of the group
// lies past the end that the next segment will name.
func (l *Log) noSpace(err error) error {
	if !vfs.IsNoSpaceError(err) {
		return err
	}
	if l.w.f != nil {
		l.w.f.Close()
		l.w.f = nil
	}
	return fmt.Errorf("%w: %w", ErrFull, err)
}

// measure prepares e for layout.
func (e *Entry) measure() {
	e.bodyBytes, e.aligned = 0, true
	for i, piece := range e.Body {
		e.bodyBytes += len(piece)
		if len(piece) > 0 && uintptr(unsafe.Pointer(unsafe.SliceData(piece)))&(blockBytes-1) != 0 {
			e.aligned = false
		}
		if i < len(e.Body)-1 && len(piece)%blockBytes != 0 {
			e.aligned = false
		}
	}
	e.aligned = e.aligned && e.bodyBytes >= bodyInPlace
}

func (e *Entry) spaceBytes() int {
	return recordAlign + recordBytes + len(e.Head) + e.bodyBytes + blockBytes
}

// writeEach writes pieces one by one.
func writeEach(f vfs.File, pieces [][]byte, off int64) error {
	for _, p := range pieces {
		n, err := f.WriteAt(p, off)
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}
