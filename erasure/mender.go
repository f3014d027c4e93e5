package erasure

import (
	"context"
	"sync/atomic"
	"time"
)

// Mender rebuilds and verifies blobs at somebody's pace. The Store's own methods of the same names do it as fast as they can.
type Mender struct {
	s    *Store
	pace Pace
}

// Pace is called after each stripe that a Mender has read, and written: bytes of the body, and how long they took. It may sleep; its error
// ends what is being done.
type Pace func(ctx context.Context, bytes int64, took time.Duration) error

// Mender gives one with that pace.
func (s *Store) Mender(pace Pace) *Mender { return &Mender{s, pace} }

// Rebuild is Store.Rebuild.
func (m *Mender) Rebuild(ctx context.Context, ref BlobRef, slots []uint8) error {
	return m.s.mend(ctx, ref, slots, false, m.pace)
}

// Replace is Store.Replace.
func (m *Mender) Replace(ctx context.Context, ref BlobRef, slots []uint8) error {
	return m.s.mend(ctx, ref, slots, true, m.pace)
}

// VerifyBlob is Store.VerifyBlob.
func (m *Mender) VerifyBlob(ctx context.Context, ref BlobRef) (BlobState, error) {
	return m.s.verify(ctx, ref, m.pace)
}

// unhurried is the pace of who does not wait.
func unhurried(context.Context, int64, time.Duration) error { return nil }

// traffic says whether requests are being served. The zero value is idle.
type traffic struct {
	open  atomic.Int64
	ended atomic.Int64 // when the last one did, in Unix nanoseconds
}

func (t *traffic) enter() { t.open.Add(1) }

func (t *traffic) leave() {
	t.ended.Store(time.Now().UnixNano())
	t.open.Add(-1)
}

// busyFor is how long after a request the next one is expected.
const busyFor = 100 * time.Millisecond

// Busy reports that bodies are being read or written, or were just now. What Rebuild and VerifyBlob do does not count.
func (s *Store) Busy() bool {
	return s.traffic.open.Load() > 0 || time.Now().UnixNano()-s.traffic.ended.Load() < int64(busyFor)
}
