package disk

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/internal/ids"
)

// QuarantineEntry is a chunk that was put aside: a chunk file, in quarantine/ under the day, with this beside it as JSON.
type QuarantineEntry struct {
	Key    ids.Chunk  `json:"key"`
	Reason string     `json:"reason"`
	Time   time.Time  `json:"time"`
	Bucket ids.Bucket `json:"bucket"`
	Object string     `json:"object"`
	Bytes  uint64     `json:"bytes"` // of payload
	File   string     `json:"file"`  // below quarantine/
}

const entrySuffix = ".json"

// Quarantine puts a chunk aside, as it is, damaged or not: it is no longer found, its key may be written again, and its bytes stay
// until ExpireQuarantine. Errors: ErrNotFound, ErrUnavailable.
func (d *Drive) Quarantine(ctx context.Context, key ids.Chunk, reason string) error {
	for {
		err := d.quarantine(ctx, key, reason)
		if !errors.Is(err, errMoved) { // reclaim moved it meanwhile: again
			return d.fault("quarantine", err)
		}
	}
}

func (d *Drive) quarantine(ctx context.Context, key ids.Chunk, reason string) error {
	var at row
	var err error // the worker's, also after nobody waits for it: no result, which a return would write
	e := d.do(ctx, func() {
		d.aside.Lock()
		defer d.aside.Unlock()
		var ok bool
		if at, ok, err = d.lookup(key, true); err == nil && (!ok || !at.live()) {
			err = ErrNotFound
		}
		if err == nil {
			err = d.setAside(&at, reason)
		}
	}, nil)
	if e != nil {
		return e
	}
	if err != nil {
		return err
	}
	o := d.newOp(chunk.KindDropped, nil)
	o.keys, o.millis, o.from, o.move = []ids.Chunk{key}, time.Now().UnixMilli(), at.pos, true
	o.head = chunk.AppendKeys(o.head, o.kind, o.millis, o.keys)
	o.entry.Essential = true
	return d.await(ctx, o)
}

// setAside writes the chunk's copy, durably. Doing it again replaces the copy. A chunk that is gone because somebody removes the
// drive's directory leaves nothing there: what is made after its removal would keep the path from being blank.
func (d *Drive) setAside(at *row, reason string) error {
	if err := d.Check(); err != nil {
		return err
	}
	now := time.Now().UTC()
	day := now.Format(time.DateOnly)
	fs := d.opt.FS
	dir := fs.PathJoin(d.opt.Path, quarantineName, day)
	if err := d.opt.mkdir(dir); err != nil {
		return d.writeError(err)
	}
	name := hex.EncodeToString(at.header.Key.Append(nil))
	var err error
	if at.kind == rowFile {
		linked := fs.PathJoin(dir, name+fileSuffix+".tmp")
		fs.Remove(linked) // of an attempt before
		err = fs.Link(d.filePath(at.place), linked)
		if err == nil {
			err = fs.Rename(linked, fs.PathJoin(dir, name+fileSuffix))
			fs.Remove(linked) // is left if it was the same file
		} else if oserror.IsNotExist(err) {
			err = nil // the file is lost; the entry tells of it
		}
	} else {
		err = d.copyAside(at, fs.PathJoin(dir, name+fileSuffix))
	}
	if err != nil {
		return d.writeError(err)
	}
	entry := QuarantineEntry{
		Key: at.header.Key, Reason: reason, Time: now, Bucket: at.header.Bucket, Object: at.header.Object,
		Bytes: at.footer.ShardBytes, File: day + "/" + name + fileSuffix,
	}
	b, err := json.Marshal(entry)
	if err != nil {
		return err
	}
	return d.writeError(writeFile(fs, dir, name+entrySuffix, b))
}

// copyAside writes the chunk of a record as a chunk file. What cannot be read becomes zeros, which its checksums tell; what cannot be read just
// now is an error instead, for the copy is all that stays of the chunk.
func (d *Drive) copyAside(at *row, path string) error {
	shard := at.footer.ShardBytes
	sums := make([]byte, chunk.Blocks(shard)*chunk.SumBytes)
	b, err := d.log().Read(at.pos)
	if isPassing(err) {
		return d.readError(err)
	}
	if err == nil {
		if rec, err := chunk.ParseRecord(b); err == nil && len(rec.Sums) == len(sums) {
			copy(sums, rec.Sums)
		}
	}
	buf := d.opt.Buffers.Get(int(chunk.FileBytes(shard)))
	defer buf.Release()
	clear(buf.B)
	chunk.AppendFileHeader(buf.B[:0], &at.header)
	payload := buf.B[chunk.FileHeaderBytes:][:shard]
	for off := 0; off < len(payload); off += chunk.BlockBytes {
		block := payload[off:min(off+chunk.BlockBytes, len(payload))]
		err := d.readSegment(at.pos.Segment, block, int64(at.place)+int64(off), false)
		if isPassing(err) {
			return d.readError(err)
		}
		if err != nil {
			clear(block)
		}
	}
	chunk.PutTrailer(buf.B[chunk.TrailerOffset(shard):], sums, 0, &at.footer)
	f, err := d.opt.FS.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(buf.B)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Quarantined lists what is in quarantine, oldest first.
func (d *Drive) Quarantined(ctx context.Context) ([]QuarantineEntry, error) {
	var files []string
	var err error
	if e := d.do(ctx, func() { files, err = d.entryFiles() }, nil); e != nil {
		return nil, d.fault("list quarantine", e)
	}
	if err != nil {
		return nil, d.fault("list quarantine", err)
	}
	var entries []QuarantineEntry
	for read := 0; read < len(files); {
		var some []QuarantineEntry
		var n int
		if err := d.do(ctx, func() { some, n = d.readEntries(files[read:]) }, nil); err != nil {
			return nil, d.fault("list quarantine", err)
		}
		entries, read = append(entries, some...), read+n
	}
	slices.SortFunc(entries, func(a, b QuarantineEntry) int { return a.Time.Compare(b.Time) })
	return entries, nil
}

// entryFiles is where the entries are, below quarantine/.
func (d *Drive) entryFiles() (files []string, err error) {
	fs := d.opt.FS
	top := fs.PathJoin(d.opt.Path, quarantineName)
	days, err := fs.List(top)
	if oserror.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, day := range days {
		names, err := fs.List(fs.PathJoin(top, day))
		if err != nil {
			continue // no directory
		}
		for _, name := range names {
			if strings.HasSuffix(name, entrySuffix) {
				files = append(files, day+"/"+name)
			}
		}
	}
	return files, nil
}

// readEntries reads as many of files, from the first, as fit in a turn, and says how many it looked at.
func (d *Drive) readEntries(files []string) (entries []QuarantineEntry, n int) {
	until := time.Now().Add(d.turn())
	for _, file := range files {
		if n > 0 && time.Now().After(until) {
			break
		}
		n++
		var entry QuarantineEntry
		b, err := readFile(d.opt.FS, d.opt.FS.PathJoin(d.opt.Path, quarantineName, file))
		if err == nil {
			err = json.Unmarshal(b, &entry)
		}
		if err != nil || entry.File != strings.TrimSuffix(file, entrySuffix)+fileSuffix {
			d.opt.Logger.Warn("quarantine: entry cannot be read", "file", file, "err", err)
			continue
		}
		entries = append(entries, entry)
	}
	return entries, n
}

// RestoreQuarantined puts the newest copy of key back. Errors: ErrNotFound, ErrCorrupt if the copy is damaged (it stays), ErrExists if other
// content came meanwhile, and those of Put.
func (d *Drive) RestoreQuarantined(ctx context.Context, key ids.Chunk) error {
	entries, err := d.Quarantined(ctx)
	if err != nil {
		return err
	}
	slices.Reverse(entries)
	i := slices.IndexFunc(entries, func(e QuarantineEntry) bool { return e.Key == key })
	if i < 0 {
		return d.fault("restore", ErrNotFound)
	}
	var restored *op
	if e := d.do(ctx, func() { restored, err = d.takeBack(&entries[i]) }, nil); e != nil {
		return d.fault("restore", e)
	}
	if err == nil {
		file := restored.file // 0: it is a record
		if err = d.await(ctx, restored); file > 0 && (errors.Is(err, ErrExists) || errors.Is(err, ErrDeleted)) {
			d.dead.add(file) // nothing names it
		}
	}
	if err != nil {
		return d.fault("restore", err)
	}
	if e := d.do(ctx, func() { err = d.removeEntry(&entries[i]) }, nil); e != nil {
		return d.fault("restore", e)
	}
	return d.fault("restore", err)
}

// takeBack reads and verifies a copy, and makes the op that brings it back.
func (d *Drive) takeBack(entry *QuarantineEntry) (*op, error) {
	fs := d.opt.FS
	path := fs.PathJoin(d.opt.Path, quarantineName, entry.File)
	f, err := fs.Open(path)
	if err != nil {
		return nil, d.readError(missing(err))
	}
	defer f.Close()
	c, err := readChunkFile(f)
	if err != nil {
		return nil, err
	}
	if len(c.Bad) > 0 || c.Header.Key != entry.Key {
		return nil, fmt.Errorf("%w: the copy is damaged", ErrCorrupt)
	}
	if c.Footer.ShardBytes > chunk.PutMax {
		return d.takeBackFile(path, c)
	}
	o := d.newOp(chunk.KindChunk, nil)
	o.header, o.footer, o.restore = c.Header, c.Footer, true
	payload := make([]byte, c.Footer.ShardBytes) // not of the pool: the op may outlive its waiter
	if err := readFull(f, payload, chunk.FileHeaderBytes); err != nil {
		return nil, err
	}
	o.head = chunk.AppendChunk(o.head, &o.header, &o.footer)
	o.head = chunk.NewSummer(entry.Key).AppendSums(o.head, 0, payload)
	o.entry.Body = [][]byte{payload}
	return o, nil
}

// takeBackFile links the copy to its old name, which its trailer tells, and which may wait to be unlinked since it was put aside.
func (d *Drive) takeBackFile(path string, c *Salvaged) (*op, error) {
	d.dead.revive(c.number)
	if err := d.opt.FS.Link(path, d.filePath(c.number)); err != nil && !oserror.IsExist(err) {
		return nil, d.writeError(err)
	}
	if err := syncDir(d.opt.FS, d.opt.FS.PathJoin(d.opt.Path, chunksName)); err != nil {
		return nil, d.writeError(err)
	}
	o := d.newOp(chunk.KindFile, nil)
	o.header, o.footer, o.file, o.restore = c.Header, c.Footer, c.number, true
	o.head = chunk.AppendFile(o.head, o.file, &o.header, &o.footer)
	return o, nil
}

func (d *Drive) removeEntry(entry *QuarantineEntry) error {
	fs := d.opt.FS
	path := fs.PathJoin(d.opt.Path, quarantineName, entry.File)
	if err := fs.Remove(strings.TrimSuffix(path, fileSuffix) + entrySuffix); err != nil && !oserror.IsNotExist(err) {
		return err
	}
	if err := fs.Remove(path); err != nil && !oserror.IsNotExist(err) {
		return err
	}
	return syncDir(fs, fs.PathDir(path))
}

// ExpireQuarantine removes what was put aside before the day of before, rows and logs of lost replicas included. It says how many chunks.
func (d *Drive) ExpireQuarantine(ctx context.Context, before time.Time) (int, error) {
	expired := 0
	for {
		var n int
		var more bool
		var err error
		if e := d.do(ctx, func() { n, more, err = d.expire(before.UTC().Format(time.DateOnly)) }, nil); e != nil {
			return expired, d.fault("expire quarantine", e)
		}
		if expired += n; !more || err != nil {
			return expired, d.fault("expire quarantine", err)
		}
	}
}

// expire removes what a turn suffices for; more is there if it did not for all.
func (d *Drive) expire(before string) (n int, more bool, err error) {
	fs := d.opt.FS
	top := fs.PathJoin(d.opt.Path, quarantineName)
	days, err := fs.List(top)
	if err != nil {
		return 0, false, err
	}
	until := time.Now().Add(d.turn())
	for _, day := range days {
		if _, err := time.Parse(time.DateOnly, day); err != nil || day >= before {
			continue
		}
		entries, more, err := d.removeTree(fs.PathJoin(top, day), until)
		if n += entries; more || err != nil {
			return n, more, err
		}
	}
	return n, false, nil
}

// removeTree removes path and what is below it, at least a file of it, and no more after until. It counts the entries among the files.
func (d *Drive) removeTree(path string, until time.Time) (entries int, more bool, err error) {
	fs := d.opt.FS
	err = fs.Remove(path)
	if err == nil && strings.HasSuffix(path, entrySuffix) {
		entries = 1
	}
	if err == nil || oserror.IsNotExist(err) {
		return entries, false, nil
	}
	names, listErr := fs.List(path)
	if listErr != nil {
		return 0, false, err // it is no directory
	}
	for i, name := range names {
		if i > 0 && time.Now().After(until) {
			return entries, true, nil
		}
		n, more, err := d.removeTree(fs.PathJoin(path, name), until)
		if entries += n; more || err != nil {
			return entries, more, err
		}
	}
	if err = fs.Remove(path); oserror.IsNotExist(err) {
		err = nil
	}
	return entries, false, err
}
