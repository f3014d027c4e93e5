package remote

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/chunk"
)

// Writer is a chunk that is being written there; see disk.Writer. If the client's connections end, the chunk is gone.
type Writer struct {
	d      *Drive
	number uint64
	header chunk.Header
	ended  atomic.Bool // sealed or aborted
}

// Create is disk.Drive's.
func (d *Drive) Create(ctx context.Context, h chunk.Header, shardBytes int64) (*Writer, error) {
	args := binary.LittleEndian.AppendUint64(nil, uint64(max(shardBytes, 0)))
	answer, err := d.do(ctx, opCreate, groupOf(h.Key), chunk.AppendFile(args, 0, &h, &chunk.Footer{}))
	if err != nil {
		return nil, err
	}
	number, err := parseNumber(answer)
	if err != nil {
		return nil, err
	}
	return &Writer{d: d, number: number, header: h}, nil
}

func (w *Writer) do(ctx context.Context, q request) error {
	if w.ended.Load() {
		return fmt.Errorf("%w: the chunk was sealed or aborted", disk.ErrInvalid)
	}
	q.drive, q.about = w.d.id, groupOf(w.header.Key)
	bytes := 0
	for _, p := range q.payload {
		bytes += len(p)
	}
	r, err := w.d.c.do(ctx, q, bytes)
	r.payload.Release()
	return err
}

// Write is disk.Writer's.
func (w *Writer) Write(ctx context.Context, unit []byte) error {
	if len(unit) > payloadMax {
		return fmt.Errorf("%w: a unit of %d bytes", disk.ErrInvalid, len(unit))
	}
	return w.do(ctx, request{op: opWrite, args: binary.LittleEndian.AppendUint64(nil, w.number), payload: [][]byte{unit}})
}

// Seal is disk.Writer's.
func (w *Writer) Seal(ctx context.Context, f chunk.Footer) error {
	err := w.do(ctx, request{op: opSeal, args: chunk.AppendFile(nil, w.number, &w.header, &f)})
	if err == nil {
		w.ended.Store(true)
	}
	return err
}

// Renew is disk.Writer's.
func (w *Writer) Renew(epoch uint64) { w.header.Epoch = max(w.header.Epoch, epoch) }

// Abort is disk.Writer's. Idempotent.
func (w *Writer) Abort() {
	if !w.ended.Swap(true) {
		w.d.c.tell(closing(opAbort, w.number))
	}
}
