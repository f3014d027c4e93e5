package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/state"
)

// ErrSnapshot reports a snapshot that cannot be taken.
var ErrSnapshot = errors.New("replica: snapshot refused")

// staged is a snapshot whose rows lie in tables, ready to be ingested as one unit: the tables delete what was in the
// range's spans, and hold the new rows and the replica's own row.
type staged struct {
	fs    vfs.FS
	paths []string
	index uint64
	conf  *conf
}

func (s *staged) drop() {
	for _, p := range s.paths {
		_ = s.fs.Remove(p) // what stays is removed at the next start
	}
}

func (r *Replica) dropStaged() {
	if r.staged != nil {
		r.staged.drop()
		r.staged, r.taking = nil, nil
	}
}

// incoming implements SnapshotSink at the receiver, on the sender's goroutine.
type incoming struct {
	h      *Host
	r      *Replica
	head   SnapshotHeader
	out    *staged
	spans  []state.KeyRange // not yet complete
	begin  []byte           // where the part of spans[0] in the current file begins
	file   *sstable.Writer
	done   bool
	locked *atomic.Bool
}

func (h *Host) receiveSnapshot(head SnapshotHeader) (SnapshotSink, error) {
	r := h.Replica(head.Range)
	if r == nil || r.id != head.To || r.Generation() != head.Generation {
		return nil, ErrNoReplica
	}
	if h.opt.FS == nil {
		return nil, fmt.Errorf("%w: no staging directory", ErrSnapshot)
	}
	if !r.pub.receiving.CompareAndSwap(false, true) {
		return nil, fmt.Errorf("%w: one is under way", ErrSnapshot)
	}
	meta := head.Msg.GetSnapshot().GetMetadata()
	span := state.Span{ID: head.Range, Start: head.Start, End: head.End}
	c := &conf{gen: head.Generation, span: span, state: meta.GetConfState()}
	in := &incoming{
		h: h, r: r, head: head,
		out:    &staged{fs: h.opt.FS, index: meta.GetIndex(), conf: c},
		spans:  append(span.Spans(), ownSpan(head.Range)),
		locked: &r.pub.receiving,
	}
	in.begin = in.spans[0].Start
	return in, nil
}

// Write implements SnapshotSink.
func (in *incoming) Write(ctx context.Context, b []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d := decoder{b: b}
	for len(d.b) > 0 {
		key, value := d.bytes(), d.bytes()
		if d.bad {
			return fmt.Errorf("%w: rows not decodable", ErrSnapshot)
		}
		if err := in.row(key, value); err != nil {
			return err
		}
	}
	return nil
}

func (in *incoming) row(key, value []byte) error {
	for len(in.spans) > 0 && bytes.Compare(key, in.spans[0].End) >= 0 {
		if err := in.endSpan(); err != nil {
			return err
		}
	}
	if len(in.spans) == 0 || bytes.Compare(key, in.begin) < 0 {
		return fmt.Errorf("%w: row outside the range", ErrSnapshot)
	}
	if in.file != nil && in.file.Raw().EstimatedSize() >= in.h.opt.stagedFileBytes {
		if bytes.Compare(in.begin, key) < 0 { // an empty one is taken by the writer, and Pebble's iterators are not made for it
			if err := in.file.DeleteRange(in.begin, key); err != nil {
				return err
			}
		}
		in.begin = bytes.Clone(key)
		if err := in.closeFile(); err != nil {
			return err
		}
	}
	if err := in.open(); err != nil {
		return err
	}
	return in.file.Set(key, value)
}

// endSpan deletes what was in the rest of the first span.
func (in *incoming) endSpan() error {
	if err := in.open(); err != nil {
		return err
	}
	if err := in.file.DeleteRange(in.begin, in.spans[0].End); err != nil {
		return err
	}
	in.spans = in.spans[1:]
	if len(in.spans) > 0 {
		in.begin = in.spans[0].Start
	}
	return nil
}

func (in *incoming) open() error {
	if in.file != nil {
		return nil
	}
	path := in.h.opt.FS.PathJoin(in.h.opt.Staging,
		fmt.Sprintf("%d-%d-%d.sst", in.head.Range, in.head.To, in.h.staging.Add(1)))
	f, err := in.h.opt.FS.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	in.out.paths = append(in.out.paths, path)
	in.file = sstable.NewWriter(objstorageprovider.NewFileWritable(f), sstable.WriterOptions{
		Comparer: keys.Comparer, TableFormat: in.h.opt.Rows.TableFormat(),
	})
	return nil
}

// closeFile ends a table; it is on stable storage then.
func (in *incoming) closeFile() error {
	f := in.file
	in.file = nil
	return f.Close()
}

// Commit implements SnapshotSink.
func (in *incoming) Commit(ctx context.Context) error {
	for len(in.spans) > 1 {
		if err := in.endSpan(); err != nil {
			return err
		}
	}
	// The own row is the last: it makes the rows this replica's.
	if err := in.row(in.out.conf.key(in.r.rng, in.r.id), in.out.conf.append(nil)); err != nil {
		return err
	}
	if err := in.endSpan(); err != nil {
		return err
	}
	if err := in.closeFile(); err != nil {
		return err
	}
	in.done = true
	h, r, out, e := in.h, in.r, in.out, in.head.Envelope
	return h.do(ctx, func() error {
		defer in.locked.Store(false)
		if !r.running || r.busy || r.removed || r.conf.gen != e.Generation {
			out.drop()
			return ErrNoReplica
		}
		if err := h.vacant(&out.conf.span); err != nil {
			out.drop()
			return err
		}
		r.dropStaged()
		r.staged, r.taking = out, &out.conf.span
		r.step(&e)
		return nil
	})
}

// Abort implements SnapshotSink.
func (in *incoming) Abort() {
	if in.done {
		return
	}
	in.done = true
	if in.file != nil {
		_ = in.closeFile() // it goes anyway
	}
	in.out.drop()
	in.locked.Store(false)
}

// beginIngest takes the staged rows in, as one edit of the drive's rows, on a goroutine of its own: the other ranges
// of the host go on, this one waits.
func (r *Replica) beginIngest() error {
	s := r.staged
	r.staged = nil
	if s == nil || s.index != r.ready.Snapshot.GetMetadata().GetIndex() {
		return fmt.Errorf("%w: raft took one that is not staged", ErrSnapshot)
	}
	r.busy = true
	h := r.host
	h.background.Add(1)
	go func() {
		defer h.background.Done()
		machine, err := ingestRows(h.opt.Rows, s)
		h.post(func() {
			r.busy = false
			if err == nil {
				err = r.endIngest(machine, s.conf)
			}
			if err != nil {
				h.fail(err)
			}
		})
	}()
	return nil
}

// ingestRows returns when the snapshot's rows are on stable storage (I17): tables that overlap a memtable, as those of a
// snapshot nearly always do, are only queued behind it by Ingest, and without Pebble's own log a crash forgets them.
func ingestRows(rows *pebble.DB, s *staged) (*state.Machine, error) {
	if err := rows.Ingest(context.Background(), s.paths); err != nil {
		return nil, err
	}
	if err := rows.Flush(); err != nil {
		return nil, err
	}
	return state.Load(rows, s.conf.span)
}

// endIngest goes on with the Ready that held the snapshot.
func (r *Replica) endIngest(machine *state.Machine, c *conf) error {
	meta := r.ready.Snapshot.GetMetadata()
	at := entryID{meta.GetIndex(), meta.GetTerm()}
	if index, term := machine.Applied(); index != at.index || term != at.term {
		return fmt.Errorf("%w: rows of a snapshot at %d are at %d", ErrSnapshot, at.index, index)
	}
	if err := r.store.reset(at, r.ready.Entries, r.resetAt); err != nil {
		return err
	}
	before := r.conf.span
	r.machine, r.at, r.taking = machine, at, nil
	r.setConf(c)
	if err := r.leave(before); err != nil {
		return err
	}
	r.publishApplied()
	r.publishLast()
	r.host.mark(r)
	return r.finishReady()
}

// clearStaging removes what a crash left of snapshots that came in.
func (h *Host) clearStaging() error {
	if h.opt.FS == nil {
		return nil
	}
	if _, err := h.opt.FS.Stat(h.opt.FS.PathDir(h.opt.Staging)); err != nil {
		return err // the drive's directory was removed: it must not be made again
	}
	if err := h.opt.FS.MkdirAll(h.opt.Staging, 0o755); err != nil {
		return err
	}
	names, err := h.opt.FS.List(h.opt.Staging)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := h.opt.FS.Remove(h.opt.FS.PathJoin(h.opt.Staging, n)); err != nil {
			return err
		}
	}
	return nil
}
