package replica

import (
	"context"
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"
	"go.etcd.io/raft/v3"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/state"
)

// snapshotChunkBytes is what one Write of a snapshot carries, about.
const snapshotChunkBytes = 256 << 10

// sendSnapshot streams the rows as they are now, which is what the message says, on a goroutine of its own.
// When too many are under way, Raft is told that it failed, and tries again.
func (r *Replica) sendSnapshot(e Envelope) {
	h := r.host
	select {
	case h.senders <- struct{}{}:
	default:
		h.post(func() { r.reportSnapshot(e.To, false) })
		return
	}
	rows := h.opt.Rows.NewSnapshot()
	span := r.conf.span
	h.background.Add(1)
	go func() {
		defer h.background.Done()
		defer func() { <-h.senders }()
		defer rows.Close()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go func() { // ends with this snapshot
			select {
			case <-h.stop:
				cancel()
			case <-ctx.Done():
			}
		}()
		err := streamRows(ctx, h.opt.Transport, SnapshotHeader{Envelope: e, Start: span.Start, End: span.End}, rows, span)
		if err != nil {
			h.opt.Logger.Warn("snapshot of a range not sent", "range", uint64(r.rng), "to", uint64(e.To), "err", err)
		}
		h.post(func() { r.reportSnapshot(e.To, err == nil) })
	}()
}

func (r *Replica) reportSnapshot(to ids.Replica, ok bool) {
	if !r.running || r.busy || r.removed {
		return
	}
	status := raft.SnapshotFinish
	if !ok {
		status = raft.SnapshotFailure
	}
	r.rn.ReportSnapshot(uint64(to), status)
	r.host.mark(r)
}

func streamRows(ctx context.Context, t Transport, head SnapshotHeader, rows pebble.Reader, span state.Span) error {
	sink, err := t.Snapshot(ctx, head)
	if err != nil {
		return err
	}
	defer sink.Abort()
	buf := make([]byte, 0, snapshotChunkBytes+4096)
	for _, s := range span.Spans() {
		if buf, err = streamSpan(ctx, sink, rows, s, buf); err != nil {
			return err
		}
	}
	if len(buf) > 0 {
		if err := sink.Write(ctx, buf); err != nil {
			return err
		}
	}
	return sink.Commit(ctx)
}

// streamSpan writes the rows of one span; it returns those that did not fill a chunk.
func streamSpan(ctx context.Context, sink SnapshotSink, rows pebble.Reader, s state.KeyRange, buf []byte) ([]byte, error) {
	it, err := rows.NewIter(&pebble.IterOptions{LowerBound: s.Start, UpperBound: s.End})
	if err != nil {
		return buf, err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return buf, err
		}
		buf = appendRow(buf, it.Key(), value)
		if len(buf) < snapshotChunkBytes {
			continue
		}
		if err := sink.Write(ctx, buf); err != nil {
			return buf, err
		}
		buf = buf[:0]
	}
	return buf, it.Error()
}

// appendRow appends a row as snapshots carry it: key and value, each after its length as a uvarint.
func appendRow(b, key, value []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(key)))
	b = append(b, key...)
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}
