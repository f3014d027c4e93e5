package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/disk/segment"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/pebbleguard"
)

// openState opens rows, Raft log and chunk log. Rows and Raft log live and die together: if one is lost, both begin anew under
// another incarnation, and the drive says that its replicas are lost (I10).
func (d *Drive) openState() error {
	d.replicasLost.Store(d.id.ReplicasLost)
	why, err := d.openReplicas()
	if err != nil {
		return err
	}
	if why != "" {
		if err := d.renew(why); err != nil {
			return fmt.Errorf("replacing lost rows and log: %w", err)
		}
	}
	return d.openChunks()
}

// openOrRenew opens the state, and does it again without rows and log if reading them shows that they are corrupt.
func (d *Drive) openOrRenew() error {
	err := d.openState()
	if err == nil {
		err = d.recover()
	}
	why := d.rowsBad.Load()
	if why == nil && (err == nil || !isCorruption(err)) {
		return err
	}
	if d.rows == nil || d.lost.Replicas != "" {
		return err // new ones, and bad: that is no matter of what was stored
	}
	d.closeState()
	d.id.Discard = "rows: corrupt"
	if why != nil {
		d.id.Discard = *why
	}
	d.rowsBad.Store(nil)
	d.lost = Loss{}
	d.forgetState()
	if err := d.openState(); err != nil {
		return err
	}
	return d.recover()
}

func (d *Drive) closeState() {
	for _, l := range []*segment.Log{d.chunks.Swap(nil), d.raft.Swap(nil)} {
		if l != nil {
			l.Close()
		}
	}
	if err := d.rows.Close(); err != nil {
		d.opt.Logger.Warn("closing rows", "err", err)
	}
	d.rows = nil
}

// forgetState takes back what recover put into memory.
func (d *Drive) forgetState() {
	d.segs.m, d.epochs.m = make(map[uint64]segStat), nil
	d.dead.clear()
	d.touched, d.unflushed = nil, 0
	d.recent.in = nil
}

// openReplicas opens rows and Raft log as they are; why says what is lost.
func (d *Drive) openReplicas() (why string, err error) {
	id, err := d.id.logID()
	if err != nil {
		return "", err
	}
	if d.id.Discard != "" {
		return d.id.Discard, nil
	}
	rows, err := d.openRows()
	if err != nil {
		if isLost(err) || !isScarce(err) && d.rowsWrong() {
			return "rows: " + err.Error(), nil
		}
		return "", err
	}
	l, err := segment.Open(d.raftLog(id))
	if err == nil && len(l.Damages()) > 0 {
		err = fmt.Errorf("%w: %v", segment.ErrDamaged, l.Damages()[0])
		l.Close()
	}
	if err == nil && !d.id.LogEnd.reached(l.End()) {
		err = fmt.Errorf("%w: it ends at %s, and was written up to %d+%d", segment.ErrDamaged, l.End(), d.id.LogEnd.Segment, d.id.LogEnd.Offset)
		l.Close()
	}
	if err == nil {
		d.rows = rows
		d.raft.Store(l)
		return "", nil
	}
	if e := rows.Close(); e != nil {
		return "", e
	}
	if isLost(err) {
		return "log: " + err.Error(), nil
	}
	return "", err
}

func (d *Drive) raftLog(id [16]byte) segment.Options {
	opt := d.opt.raftLog(id)
	opt.NoSpace = d.space.makeRoom
	opt.Failed = func(err error) { d.suspect(err) }
	opt.Rolled = func(number uint64) error { return d.noteLogEnd(segment.Pos{Segment: number}) }
	return opt
}

// isLost tells what is not there or is wrong from what could not be read just now.
func isLost(err error) bool {
	if isScarce(err) {
		return false
	}
	for _, e := range []error{
		errIncarnation, pebbleguard.ErrMissing, segment.ErrForeign, segment.ErrNoSegment, segment.ErrDamaged, pebble.ErrDBDoesNotExist, pebble.ErrNotFound,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return oserror.IsNotExist(err) || isCorruption(err)
}

// isScarce reports that the process or the system had run out of something, such as open files when clients hold them all: that says
// nothing of what is on the drive, though a moment later all of it can be read.
func isScarce(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// isCorruption reports that a database's files contradict themselves. Of a damaged manifest Pebble gives its record reader's error as it is.
func isCorruption(err error) bool {
	for _, e := range []error{record.ErrInvalidChunk, record.ErrZeroedChunk, record.ErrUnexpectedEOF} {
		if errors.Is(err, e) {
			return true
		}
	}
	return pebble.IsCorruptionError(err)
}

// isPassing reports an error that says nothing of what is on the drive: reading it again, or opening the drive again, may give all of it.
func isPassing(err error) bool { return isScarce(err) || errors.Is(err, segment.ErrClosed) }

// renew puts lost rows and log aside, in quarantine, and makes new ones under a new incarnation. The identity is written first:
// whatever a crash leaves behind does not match it.
func (d *Drive) renew(why string) (err error) {
	begun, aside := false, time.Now().UTC().Format(time.DateOnly)
	var made []string
	defer func() {
		if begun {
			err = errors.Join(err, d.unmake(made, aside))
		}
	}()
	d.opt.Logger.Error("range replicas on this drive are lost", "reason", why)
	d.lost.Replicas = why
	old := d.id.Incarnation
	d.id.Incarnation, d.id.ReplicasLost, d.id.Discard, d.id.LogEnd = newIncarnation(), true, "", LogEnd{}
	d.replicasLost.Store(true)
	if err := writeIdentity(d.opt.FS, d.opt.Path, d.id); err != nil {
		return err
	}
	begun = true
	fs := d.opt.FS
	for _, name := range []string{rowsName, logName} {
		from := fs.PathJoin(d.opt.Path, name)
		if _, err := fs.Stat(from); oserror.IsNotExist(err) {
			continue
		}
		dir := fs.PathJoin(d.opt.Path, quarantineName, aside)
		if err := d.opt.mkdir(dir); err != nil {
			return err
		}
		if err := fs.Rename(from, fs.PathJoin(dir, name+"-"+old+"-"+newIncarnation()[:8])); err != nil {
			return err
		}
	}
	id, err := d.id.logID()
	if err != nil {
		return err
	}
	made = []string{logName, rowsName} // what was there lies in quarantine
	if err := d.opt.mkdir(fs.PathJoin(d.opt.Path, logName)); err != nil {
		return err
	}
	if err := segment.Create(d.opt.raftLog(id)); err != nil {
		return err
	}
	if err := createRows(&d.opt, d.id.Incarnation); err != nil {
		return err
	}
	if err := syncDir(fs, d.opt.Path); err != nil {
		return err
	}
	if d.rows, err = d.openRows(); err != nil {
		return err
	}
	l, err := segment.Open(d.raftLog(id))
	if err == nil {
		d.raft.Store(l)
	}
	return err
}

// unmake removes what renew made, and the directories that came into being with it, where the drive's directory was removed in that moment:
// what is put there next must find nothing of ours. Errors: ErrGone, if it was.
func (d *Drive) unmake(made []string, aside string) error {
	fs := d.opt.FS
	for _, name := range [...]string{identityName, spareName} {
		if _, err := fs.Stat(fs.PathJoin(d.opt.Path, name)); !oserror.IsNotExist(err) {
			return nil
		}
	}
	for _, name := range made {
		_ = fs.RemoveAll(fs.PathJoin(d.opt.Path, name))
	}
	for _, name := range [...]string{fs.PathJoin(quarantineName, aside), quarantineName, ""} { // each if it is empty
		_ = fs.Remove(fs.PathJoin(d.opt.Path, name))
	}
	return ErrGone
}

// openChunks opens the chunk log. If it is gone a new one is made whose segments have higher numbers than any the index names.
func (d *Drive) openChunks() error {
	opt := d.opt.chunkLog(d.id.Drive)
	opt.Begin, opt.Admit, opt.Admitted, opt.Synced = d.begin, d.admit, d.admitted, d.synced
	opt.Failed = func(err error) { d.suspect(d.writeError(err)) }
	opt.Proven, opt.NoSpace = d.indexed().end, d.space.makeRoom
	l, err := segment.Open(opt)
	if err != nil && (errors.Is(err, segment.ErrNoSegment) || oserror.IsNotExist(err)) {
		d.opt.Logger.Error("the chunks on this drive are lost", "err", err)
		d.lost.ChunkLog = true
		if err := d.noteChunksLost(); err != nil {
			return err
		}
		if err := d.opt.mkdir(opt.Dir); err != nil {
			return err
		}
		opt.First = opt.Proven.Segment + 1
		if err := segment.Create(opt); err != nil {
			return err
		}
		l, err = segment.Open(opt)
	}
	if err != nil {
		return err
	}
	d.chunks.Store(l)
	if !d.opt.Buffered && vfs.Root(d.opt.FS) == vfs.Default && !l.Direct() {
		d.opt.Logger.Warn("the file system refuses O_DIRECT: writes go through the page cache, and cost more")
	}
	return nil
}

// indexed is what the index says of itself; zero: it begins anew.
func (d *Drive) indexed() indexMark {
	v, closer, err := d.rows.Get([]byte{tablePosition})
	if err != nil {
		return indexMark{}
	}
	defer closer.Close()
	m, _ := parseIndexMark(v)
	return m
}

// recover completes the index from the chunk log.
func (d *Drive) recover() error {
	began := time.Now()
	if err := d.loadAccounts(); err != nil {
		return err
	}
	if err := d.dropMissing(); err != nil {
		return err
	}
	mark := d.indexed()
	d.recent.newest = max(d.recent.newest, mark.newest)
	n, err := d.replay(mark.end)
	if err != nil {
		return err
	}
	if err := d.sweepFiles(); err != nil {
		return err
	}
	d.opt.Logger.Info("drive opened", "id", d.id.Drive, "replayed", n, "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// loadAccounts reads the small tables.
func (d *Drive) loadAccounts() error {
	it, err := d.rows.NewIter(&pebble.IterOptions{LowerBound: []byte{tableSegment}, UpperBound: []byte{tableFile}})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		k, v := it.Key(), it.Value()
		switch {
		case k[0] == tableSegment && len(k) == 9:
			if st, ok := parseSegStat(v); ok {
				d.segs.set(binary.BigEndian.Uint64(k[1:]), st)
			}
		case k[0] == tableEpoch && len(k) == 5 && len(v) == 8:
			d.epochs.raise(chunk.Epoch{
				Pool: ids.Pool(binary.BigEndian.Uint16(k[1:])), PG: ids.PG(binary.BigEndian.Uint16(k[3:])), Epoch: binary.LittleEndian.Uint64(v),
			})
		}
	}
	return it.Close()
}

// dropMissing takes chunks out of the index whose segment is gone.
func (d *Drive) dropMissing() error {
	there := make(map[uint64]bool)
	for _, s := range d.log().Segments() {
		there[s.Number] = true
	}
	missing := make(map[uint64]bool)
	d.segs.mu.Lock()
	for s := range d.segs.m {
		if !there[s] {
			missing[s] = true
		}
	}
	d.segs.mu.Unlock()
	if len(missing) == 0 {
		return nil
	}
	b := d.rows.NewBatch()
	defer b.Close()
	err := d.eachRow([]byte{tableChunk}, []byte{tableChunk + 1}, func(key ids.Chunk, v []byte) (bool, error) {
		r, err := parseRow(v, false)
		if err == nil && r.live() && missing[r.pos.Segment] {
			d.lost.Chunks++
			b.Delete(chunkKey(nil, key), nil)
			if r.kind == rowFile {
				b.Delete(fileKey(r.place), nil)
			}
		}
		return true, err
	})
	if err != nil {
		return err
	}
	for s := range missing {
		d.segs.drop(s)
		b.Delete(segmentKey(s), nil)
	}
	if d.lost.Chunks > 0 {
		d.stats.lostChunks.Add(d.lost.Chunks)
		d.opt.Logger.Error("chunk segments are missing", "segments", len(missing), "chunks", d.lost.Chunks)
		if err := d.noteChunksLost(); err != nil {
			return err
		}
	}
	return b.Commit(pebble.NoSync)
}

const replayBatch = 1000

var errTorn = errors.New("torn: payload is not there")

// replay applies the records past from to the index. It leaves out those that are damaged, for the index is taken to be complete from then
// on, and never those that cannot be read just now: they may have been acknowledged.
func (d *Drive) replay(from segment.Pos) (records int, err error) {
	b := d.rows.NewBatch()
	inBatch := 0
	d.recent.begin()
	flush := func(at segment.Pos) error {
		if len(d.log().Damages()) > 0 { // the next opening begins behind them
			if err := d.noteChunksLost(); err != nil {
				return err
			}
		}
		d.recent.begin()
		err := d.commitIndex(b, at, inBatch)
		b, inBatch = d.rows.NewBatch(), 0
		return err
	}
	err = d.log().Records(from, func(r segment.Record) error {
		o, err := d.parseOp(&r)
		if isPassing(err) {
			return err
		}
		if err != nil {
			d.opt.Logger.Error("record of the chunk log skipped", "at", r.Pos.String(), "err", err)
			return nil
		}
		if inBatch >= replayBatch || d.inHand(o) {
			if err := flush(r.Pos); err != nil {
				return err
			}
		}
		records++
		inBatch++
		return d.replayOp(b, o, &r)
	})
	if err == nil {
		err = flush(d.log().End())
	}
	return records, errors.Join(err, b.Close())
}

// parseOp makes of a record the op that wrote it. A chunk in the log's last group does not count if its payload is seen not to be there (I16).
// Errors: chunk.ErrMalformed, segment.ErrDamaged, errTorn, and those that isPassing tells.
func (d *Drive) parseOp(r *segment.Record) (*op, error) {
	rec, err := chunk.ParseRecord(r.Head)
	if err != nil {
		return nil, err
	}
	o := &op{kind: rec.Kind, header: rec.Header, footer: rec.Footer, file: rec.File, keys: rec.Keys, millis: rec.Millis, epochs: rec.Epochs}
	if rec.Kind != chunk.KindChunk {
		return o, nil
	}
	if uint64(r.BodyBytes) != rec.Footer.ShardBytes {
		return nil, chunk.ErrMalformed
	}
	if r.Proven {
		return o, nil
	}
	buf := d.opt.Buffers.Get(int(r.BodyBytes))
	defer buf.Release()
	err = d.readSegment(r.Pos.Segment, buf.B, int64(r.Body), true)
	switch {
	case err == nil:
	case isPassing(err), errors.Is(err, segment.ErrDamaged):
		return nil, err
	default: // it may be whole: whoever reads it learns that it cannot be read, and has it replaced
		d.opt.Logger.Error("payload of a chunk cannot be read", "at", r.Pos.String(), "err", err)
		return o, nil
	}
	if !chunk.NewSummer(rec.Header.Key).Verify(rec.Sums, 0, buf.B) {
		return nil, errTorn
	}
	return o, nil
}

func (d *Drive) inHand(o *op) bool {
	return d.recent.inHand(o.header.Key) || slices.ContainsFunc(o.keys, d.recent.inHand)
}

// replayOp applies a record again. Moves and replacements need no care: the highest sequence number wins.
func (d *Drive) replayOp(b *pebble.Batch, o *op, r *segment.Record) (err error) {
	switch o.kind {
	case chunk.KindChunk, chunk.KindFile:
		if o.old, o.hadOld, err = d.lookup(o.header.Key, false); err != nil {
			return err
		}
		if o.hadOld && o.old.kind == rowDeleted {
			return nil // cannot be: the tombstone would have refused it
		}
		o.move = o.hadOld && o.old.kind == rowFile && o.old.place == o.file && o.kind == chunk.KindFile
		d.recent.add(o.header.Key)
	default:
		if err := d.admitKeys(o); err != nil {
			return err
		}
	}
	d.apply(b, o, r.Pos, r.Seq, r.Body)
	return nil
}

// sweepFiles compares the chunk files with those that the index names.
func (d *Drive) sweepFiles() error {
	names, err := d.opt.FS.List(d.opt.FS.PathJoin(d.opt.Path, chunksName))
	if err != nil {
		return err
	}
	there := make(map[uint64]bool)
	for _, name := range names {
		if n, ok := parseFileName(name); ok {
			there[n] = true
			d.files.Store(max(d.files.Load(), n))
		}
	}
	lost, err := d.indexedFiles(there)
	if err != nil {
		return err
	}
	// The log's old records, and copies in quarantine, name files that were unlinked long ago: no number is used twice.
	d.files.Store(max(d.files.Load(), uint64(time.Now().UnixMicro())))
	// What was dead at some time of the replay may have come back from quarantine since; what is left of there, no row names.
	d.dead.clear()
	for n := range there {
		d.dead.add(n)
	}
	return d.forgetFiles(lost)
}

// indexedFiles takes the files that the index names out of there, and returns those that are not.
func (d *Drive) indexedFiles(there map[uint64]bool) (lost []ids.Chunk, err error) {
	it, err := d.rows.NewIter(&pebble.IterOptions{LowerBound: []byte{tableFile}, UpperBound: []byte{tableFile + 1}})
	if err != nil {
		return nil, err
	}
	for ok := it.First(); ok; ok = it.Next() {
		if len(it.Key()) != 9 {
			continue
		}
		n := binary.BigEndian.Uint64(it.Key()[1:])
		d.files.Store(max(d.files.Load(), n))
		key, err := ids.ParseChunk(it.Value())
		if err == nil && !there[n] {
			lost = append(lost, key)
		}
		delete(there, n)
	}
	return lost, it.Close()
}

// forgetFiles drops the rows of chunks whose file is gone.
func (d *Drive) forgetFiles(keys []ids.Chunk) error {
	if len(keys) == 0 {
		return nil
	}
	d.opt.Logger.Error("chunk files are missing", "chunks", len(keys))
	b := d.rows.NewBatch()
	for _, k := range keys {
		r, ok, err := d.lookup(k, false)
		if err != nil {
			b.Close()
			return err
		}
		if !ok || r.kind != rowFile {
			continue
		}
		d.lost.Chunks++
		d.stats.lostChunks.Add(1)
		d.credit(r.pos.Segment, 0, -r.recordSpace())
		b.Delete(chunkKey(nil, k), nil)
		b.Delete(fileKey(r.place), nil)
	}
	if d.lost.Chunks > 0 {
		if err := d.noteChunksLost(); err != nil {
			b.Close()
			return err
		}
	}
	return d.commitIndex(b, d.log().End(), 0)
}
