package erasure

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/erasure/codec"
	"github.com/sherd-io/sherd/internal/bufpool"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// BlobBytes is the length of every blob of a body but the last.
const BlobBytes = 64 << 20

// Options configures New. A zero field means the default given here.
type Options struct {
	Map     func() *placement.Map // the newest snapshot; required
	Drive   func(ids.Drive) Drive // nil if it is not reachable from here; required
	Reload  func(context.Context) // brings Map up to the control store's present state (I5); none: Map is polled
	Report  func(BadShard)        // must not block; called from any goroutine; none: dropped
	Buffers *bufpool.Pool         // a pool of its own

	WriteQuorum int           // chunks a write must reach; 0: k+1 (k if m = 0). k relaxes I2 knowingly
	BlobBytes   int64         // BlobBytes; a test's are smaller
	Stripes     int           // 3: stripes of one write in memory, at least 2
	AckTimeout  time.Duration // 10s: a drive that makes no progress for so long is given up and reported
	SuspectWait time.Duration // 250ms: how long a write waits for drives that already count as lost
	MapWait     time.Duration // 250ms: how long a read waits for the map that a drive knows to be newer (I5)
	SlowAfter   time.Duration // 3s: a read that takes longer, of whatever drive, is worked around by parity, as far as the budget allows (I12)
	HedgeAfter  time.Duration // so is one of another node's drive after this (I23); 0: four times what 95 of 100 take, at least 20ms
	FarWithin   time.Duration // 8s: what a read of one stripe may wait for other nodes in all, however many of them do not answer
	Shedding    func() bool   // load is being shed: nothing is hedged; nil: never
	ViewTTL     time.Duration // 100ms: how old the knowledge of drives' health may be when a PG is chosen

	wholeMax int64         // chunk.PutMax: shards up to this many bytes go to Drive.Put; a test's are shorter
	lagPause time.Duration // 1s: how long nobody waits for a newer map after somebody did in vain: without etcd, every read would
}

// validate fills defaults. What is missing or absurd is a bug of the caller's, so it panics.
func (o *Options) validate() {
	if o.Map == nil || o.Drive == nil {
		panic("erasure: Options.Map and Options.Drive are required")
	}
	if o.Report == nil {
		o.Report = func(BadShard) {}
	}
	if o.Shedding == nil {
		o.Shedding = func() bool { return false }
	}
	if o.Buffers == nil {
		o.Buffers = new(bufpool.Pool)
	}
	setDefault(&o.BlobBytes, BlobBytes)
	setDefault(&o.Stripes, 3)
	setDefault(&o.AckTimeout, 10*time.Second)
	setDefault(&o.SuspectWait, 250*time.Millisecond)
	setDefault(&o.MapWait, 250*time.Millisecond)
	setDefault(&o.SlowAfter, 3*time.Second)
	setDefault(&o.FarWithin, 8*time.Second)
	setDefault(&o.ViewTTL, 100*time.Millisecond)
	setDefault(&o.wholeMax, chunk.PutMax)
	setDefault(&o.lagPause, time.Second)
	if o.Stripes < 2 || o.BlobBytes < 1 {
		panic(fmt.Sprintf("erasure: bad options: Stripes %d, BlobBytes %d", o.Stripes, o.BlobBytes))
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Store writes and reads blobs. It is safe for concurrent use.
type Store struct {
	opt     Options
	view    atomic.Pointer[view]
	viewMu  sync.Mutex // one rebuilds the view at a time
	codecs  sync.Map   // profile -> *codec.Codec
	hedges  budget
	traffic traffic
	usual   usual // of reads of other nodes' drives
	bg      sync.WaitGroup

	lagging atomic.Int64 // until when, in Unix nanoseconds, Renewed does not wait
}

// New returns a store over opt's drives. It starts nothing.
func New(opt Options) *Store {
	opt.validate()
	s := &Store{opt: opt}
	s.usual.nanos.Store(int64(opt.SlowAfter / hedgeTimes)) // hedging begins when something is known
	return s
}

// Close waits for drives that writes have given up. The store must not be used any more.
func (s *Store) Close() { s.bg.Wait() }

// Target is the object that chunks name in their headers.
type Target struct {
	Pool   ids.Pool
	Bucket ids.Bucket
	Object string
	Part   uint32
	Upload ids.Upload // fresh for this body (I7)
	Stamp  hlc.Stamp
}

// Extent says where the bytes of one body lie.
type Extent struct {
	Pool      ids.Pool
	Upload    ids.Upload
	Size      int64
	BlobBytes int64    // of every blob but the last
	PGs       []ids.PG // of each blob
}

// Blobs is how many blobs e has.
func (e Extent) Blobs() int { return len(e.PGs) }

// Blob is e's i-th.
func (e Extent) Blob(i int) BlobRef {
	size := min(e.BlobBytes, e.Size-int64(i)*e.BlobBytes)
	return BlobRef{Pool: e.Pool, PG: e.PGs[i], Blob: ids.Blob{Upload: e.Upload, Index: uint32(i)}, Size: size}
}

// BlobRef says where one blob lies.
type BlobRef struct {
	Pool ids.Pool
	PG   ids.PG
	Blob ids.Blob
	Size int64
}

// Chunk is the key of r's shard at slot.
func (r BlobRef) Chunk(slot int) ids.Chunk {
	return ids.Chunk{Pool: r.Pool, PG: r.PG, Blob: r.Blob, Slot: uint8(slot)}
}

// Missed is a slot that a blob could not be written to (I2).
type Missed struct {
	Blob uint32
	Slot uint8
}

// Written is what Write stored.
type Written struct {
	Extent
	Missed []Missed
}

// profile keys the codecs.
type profile struct{ k, m, unit int }

func (s *Store) codec(p *placement.Pool) (*codec.Codec, error) {
	key := profile{p.K, p.M, p.UnitBytes}
	if c, ok := s.codecs.Load(key); ok {
		return c.(*codec.Codec), nil
	}
	c, err := codec.New(p.K, p.M, p.UnitBytes)
	if err != nil {
		return nil, err
	}
	kept, _ := s.codecs.LoadOrStore(key, c)
	return kept.(*codec.Codec), nil
}

// layout is where the bytes of ref lie, for a blob of pool p.
func layout(p *placement.Pool, size int64) codec.Layout {
	return codec.NewLayout(size, p.K, p.M, p.UnitBytes)
}

// group finds a placement group.
func group(m *placement.Map, pool ids.Pool, pg ids.PG) (*placement.Pool, *placement.PG, error) {
	p := m.Pools[pool]
	if p == nil || int(pg) >= len(p.PGs) || p.PGs[pg] == nil || len(p.PGs[pg].Slots) != p.N() {
		return nil, nil, fmt.Errorf("%w: pool %d pg %d", ErrNoPool, pool, pg)
	}
	return p, p.PGs[pg], nil
}

// need is how many slots of a blob must not be missed.
func (s *Store) need(p *placement.Pool) int {
	if s.opt.WriteQuorum == 0 {
		return p.W()
	}
	return max(p.K, min(s.opt.WriteQuorum, p.N()))
}

func (t *Target) header(p *placement.Pool, ref BlobRef, slot int, epoch uint64) chunk.Header {
	return chunk.Header{
		Key: ref.Chunk(slot), K: uint8(p.K), M: uint8(p.M), UnitBytes: uint32(p.UnitBytes),
		Bucket: t.Bucket, Object: t.Object, Part: t.Part, Stamp: t.Stamp, Epoch: epoch,
	}
}

// MayMiss is how many slots of a blob in p an acknowledged write may lack.
func (s *Store) MayMiss(p *placement.Pool) int { return p.N() - s.need(p) }
