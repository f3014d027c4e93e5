package erasure

import (
	"context"
	"sync"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/internal/bufpool"
	"github.com/sherd-io/sherd/internal/ids"
)

// memDrive is a drive in memory, with the faults that a test asks for. It answers as disk.Drive does.
type memDrive struct {
	buffers *bufpool.Pool

	mu     sync.Mutex
	chunks map[ids.Chunk]*memChunk
	dead   map[ids.Chunk]bool
	epochs map[ids.PG]uint64
	health disk.HealthState
	low    bool
	putErr error         // of Put, Write and Seal
	hung   chan struct{} // writes wait until it is closed
	slow   chan struct{} // reads wait until it is closed, or the reader goes away
	reads  int
	busy   sync.WaitGroup // puts and seals
	near   bool           // it says it is not another node's
}

type memChunk struct {
	h   chunk.Header
	f   chunk.Footer
	b   []byte
	bad bool
}

func newMemDrive(b *bufpool.Pool) *memDrive {
	return &memDrive{buffers: b, chunks: map[ids.Chunk]*memChunk{}, dead: map[ids.Chunk]bool{}, epochs: map[ids.PG]uint64{}}
}

func (d *memDrive) set(fn func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fn()
}

func (d *memDrive) Remote() bool { return !d.near }

func (d *memDrive) Health() disk.Health {
	d.mu.Lock()
	defer d.mu.Unlock()
	return disk.Health{State: d.health}
}

func (d *memDrive) Epoch(_ ids.Pool, pg ids.PG) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.epochs[pg]
}

func (d *memDrive) Space() disk.Space {
	d.mu.Lock()
	defer d.mu.Unlock()
	return disk.Space{Low: d.low}
}

func (d *memDrive) await() error {
	d.mu.Lock()
	hung := d.hung
	d.mu.Unlock()
	if hung != nil {
		<-hung
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.health == disk.Failed {
		return disk.ErrUnavailable
	}
	return d.putErr
}

func (d *memDrive) Put(h chunk.Header, units [][]byte, f chunk.Footer, done func(error)) {
	d.busy.Add(1)
	go func() {
		defer d.busy.Done()
		if err := d.await(); err != nil {
			done(err)
			return
		}
		var all []byte
		for _, u := range units {
			all = append(all, u...)
		}
		done(d.seal(h, f, all))
	}()
}

func (d *memDrive) seal(h chunk.Header, f chunk.Footer, b []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch old := d.chunks[h.Key]; {
	case h.Epoch < d.epochs[h.Key.PG]:
		return disk.ErrEpoch
	case d.dead[h.Key]:
		return disk.ErrDeleted
	case old != nil && old.f == f:
		return nil
	case old != nil:
		return disk.ErrExists
	case uint64(len(b)) != f.ShardBytes:
		panic("shard length differs from footer")
	}
	d.chunks[h.Key] = &memChunk{h: h, f: f, b: b}
	return nil
}

func (d *memDrive) Delete(keys []ids.Chunk, done func(error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.health == disk.Failed {
		go done(disk.ErrUnavailable)
		return
	}
	for _, k := range keys {
		delete(d.chunks, k)
		d.dead[k] = true
	}
	go done(nil)
}

func (d *memDrive) Quarantine(_ context.Context, key ids.Chunk, _ string) error {
	d.set(func() { delete(d.chunks, key) })
	return nil
}

func (d *memDrive) Create(_ context.Context, h chunk.Header, _ int64) (Writer, error) {
	if err := d.await(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if h.Epoch < d.epochs[h.Key.PG] {
		return nil, disk.ErrEpoch
	}
	return &memWriter{d: d, h: h}, nil
}

type memWriter struct {
	d *memDrive
	h chunk.Header
	b []byte
}

func (w *memWriter) Write(_ context.Context, unit []byte) error {
	w.b = append(w.b, unit...)
	return w.d.await()
}

func (w *memWriter) Seal(ctx context.Context, f chunk.Footer) error {
	w.d.busy.Add(1)
	defer w.d.busy.Done()
	if err := w.d.await(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return w.d.seal(w.h, f, w.b)
}

func (w *memWriter) Renew(epoch uint64) { w.h.Epoch = epoch }

func (w *memWriter) Abort() {}

func (d *memDrive) Open(_ context.Context, key ids.Chunk, _, _ int64) (Reader, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.health == disk.Failed {
		return nil, disk.ErrUnavailable
	}
	c := d.chunks[key]
	if c == nil {
		return nil, disk.ErrNotFound
	}
	return &memReader{d, c}, nil
}

type memReader struct {
	d *memDrive
	c *memChunk
}

func (r *memReader) Header() chunk.Header { return r.c.h }
func (r *memReader) Footer() chunk.Footer { return r.c.f }
func (r *memReader) Size() int64          { return int64(len(r.c.b)) }
func (r *memReader) Close()               {}

func (r *memReader) Read(ctx context.Context, off, n int64) (*bufpool.Buf, error) {
	r.d.mu.Lock()
	r.d.reads++
	slow, bad, failed := r.d.slow, r.c.bad, r.d.health == disk.Failed
	r.d.mu.Unlock()
	if slow != nil {
		select {
		case <-slow:
		case <-ctx.Done():
		}
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case failed:
		return nil, disk.ErrUnavailable
	case bad:
		return nil, disk.ErrCorrupt
	}
	buf := r.d.buffers.Get(int(n))
	copy(buf.B, r.c.b[off:off+n])
	return buf, nil
}
